import { attributesOf, type IndexedAttributes } from '../archive/index.js';

export interface ObjectHeader<D> {
  studyInstanceUid: string;
  seriesInstanceUid: string;
  sopInstanceUid: string;
  sopClassUid: string;
  transferSyntaxUid: string;
  /** Where the data set begins in the file. */
  dataSetOffset: number;
  dataSet: D;
}

/** What the intake has to know about DICOM objects: functions of the dicom folder, `D` its data set. */
export interface ObjectReader<D> {
  readHeader(file: Buffer): ObjectHeader<D>;
  /** The same of a whole file; `verify` walks the rest of it and throws when it is malformed or cut off. */
  openWhole(file: Buffer): ObjectHeader<D> & { verify(): void };
  /** For what is too large for memory. */
  openLarge(file: {
    size: number;
    read(offset: number, length: number): Promise<Buffer>;
  }): Promise<ObjectHeader<D> & { verify(): Promise<void> }>;
  writeMetaHeader(m: {
    sopClassUid: string;
    sopInstanceUid: string;
    transferSyntaxUid: string;
    sourceAeTitle?: string;
  }): Buffer;
  strings(dataSet: D, keyword: string): string[];
  /** Items of a sequence. It may throw when one is malformed. */
  itemsOf(dataSet: D, keyword: string): D[];
  correctable(dataSet: D, sopClassUid: string): { ok: true } | { ok: false; reason: string };
  isOwnOutput(dataSet: D): boolean;
}

/** What the archive's index keeps of an object. */
export function indexedAttributesOf<D>(
  dicom: Pick<ObjectReader<D>, 'strings' | 'itemsOf'>,
  dataSet: D,
): IndexedAttributes {
  const valuesOf = (of: D) => (keyword: string) => dicom.strings(of, keyword);
  return attributesOf(valuesOf(dataSet), (keyword) => {
    try {
      return dicom.itemsOf(dataSet, keyword).map(valuesOf);
    } catch {
      return []; // a malformed item cannot be found by what is in it
    }
  });
}
