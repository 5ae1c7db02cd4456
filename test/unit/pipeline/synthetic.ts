/** Small MR objects made by hand, and just enough of a reader for them: explicit VR little endian, no sequences. */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Deliverable, Destination, Outcome, SendOptions } from '../../../src/delivery/index.js';
import type { ObjectReader } from '../../../src/intake/index.js';
import type { CorrectedFile, Model } from '../../../src/pipeline/index.js';
import type { Rule } from '../../../src/series/index.js';
import { atEnd } from '../../peers/support/process.js';

export const explicitLittleEndian = '1.2.840.10008.1.2.1';
export const mrImageStorage = '1.2.840.10008.5.1.4.1.1.4';

const tags: Record<string, [number, string]> = {
  ImageType: [0x00080008, 'CS'],
  SOPClassUID: [0x00080016, 'UI'],
  SOPInstanceUID: [0x00080018, 'UI'],
  Modality: [0x00080060, 'CS'],
  BodyPartExamined: [0x00180015, 'CS'],
  StudyInstanceUID: [0x0020000d, 'UI'],
  SeriesInstanceUID: [0x0020000e, 'UI'],
  AcquisitionNumber: [0x00200012, 'IS'],
  ImagesInAcquisition: [0x00201002, 'IS'],
};
const pixelData = 0x7fe00010;

export type Header = Map<string, string>;

export interface SliceOptions {
  study?: string;
  series?: string;
  sop: string;
  values?: Record<string, string>;
  pixels?: Buffer;
}

export interface Slice {
  study: string;
  series: string;
  sop: string;
  dataSet: Buffer;
  file: Buffer;
}

/** A data set of about `pixels.length` bytes (default 200). */
export function slice(o: SliceOptions): Slice {
  const { study = '1.2.3', series = '1.2.3.4', sop } = o;
  const values: Record<string, string> = {
    SOPClassUID: mrImageStorage,
    Modality: 'MR',
    BodyPartExamined: 'HEAD',
    ...o.values,
    StudyInstanceUID: study,
    SeriesInstanceUID: series,
    SOPInstanceUID: sop,
  };
  const elements = Object.entries(values)
    .sort(([a], [b]) => tags[a]![0] - tags[b]![0])
    .map(([keyword, value]) => shortElement(...tags[keyword]!, value));
  const pixels = o.pixels ?? createHash('sha512').update(sop).digest();
  const header = Buffer.alloc(12);
  header.writeUInt16LE(pixelData >>> 16, 0);
  header.writeUInt16LE(pixelData & 0xffff, 2);
  header.write('OW', 4, 'latin1');
  header.writeUInt32LE(pixels.length, 8);
  const dataSet = Buffer.concat([...elements, header, pixels]);
  const meta = writeMetaHeader({
    sopClassUid: values.SOPClassUID!,
    sopInstanceUid: sop,
    transferSyntaxUid: explicitLittleEndian,
  });
  return { study, series, sop, dataSet, file: Buffer.concat([meta, dataSet]) };
}

function shortElement(tag: number, vr: string, value: string): Buffer {
  const padded = value.length % 2 === 0 ? value : `${value}${vr === 'UI' ? '\0' : ' '}`;
  const element = Buffer.alloc(8 + padded.length);
  element.writeUInt16LE(tag >>> 16, 0);
  element.writeUInt16LE(tag & 0xffff, 2);
  element.write(vr, 4, 'latin1');
  element.writeUInt16LE(padded.length, 6);
  element.write(padded, 8, 'latin1');
  return element;
}

function writeMetaHeader(m: {
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
  sourceAeTitle?: string;
}): Buffer {
  const group = Buffer.concat([
    shortElement(0x00020002, 'UI', m.sopClassUid),
    shortElement(0x00020003, 'UI', m.sopInstanceUid),
    shortElement(0x00020010, 'UI', m.transferSyntaxUid),
    ...(m.sourceAeTitle === undefined ? [] : [shortElement(0x00020016, 'AE', m.sourceAeTitle)]),
  ]);
  const length = shortElement(0x00020000, 'UL', '\0\0\0\0');
  length.writeUInt32LE(group.length, 8);
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), length, group]);
}

class DicomError extends Error {
  override name = 'DicomError';
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

function dataSetOffset(file: Buffer): number {
  if (file.toString('latin1', 128, 132) !== 'DICM') throw new DicomError('not-dicom', 'no DICM prefix');
  return 144 + file.readUInt32LE(140);
}

function walk(file: Buffer, untilPixelData: boolean): Header {
  const header: Header = new Map();
  let at = dataSetOffset(file);
  while (at < file.length) {
    if (at + 8 > file.length) throw new DicomError('truncated', 'ends inside an element');
    const tag = file.readUInt16LE(at) * 0x10000 + file.readUInt16LE(at + 2);
    if (tag === pixelData) {
      if (untilPixelData) return header;
      if (at + 12 + file.readUInt32LE(at + 8) !== file.length)
        throw new DicomError('truncated', 'ends inside its pixel data');
      return header;
    }
    const length = file.readUInt16LE(at + 6);
    if (at + 8 + length > file.length) throw new DicomError('truncated', 'ends inside an element');
    const keyword = Object.keys(tags).find((name) => tags[name]![0] === tag);
    const value = file.toString('latin1', at + 8, at + 8 + length).replace(/[\0 ]+$/, '');
    if (keyword !== undefined) header.set(keyword, value);
    at += 8 + length;
  }
  return header;
}

export interface FakeDerivation {
  model: string;
}

export function derivedUid(uid: string, { model }: FakeDerivation): string {
  const hex = createHash('sha256').update(`${uid} ${model}`).digest('hex').slice(0, 24);
  return `2.25.${BigInt(`0x${hex}`)}`;
}

export const reader: ObjectReader<Header> & {
  derivedUids(
    source: { seriesInstanceUid: string; sopInstanceUid: string },
    d: FakeDerivation,
  ): { seriesInstanceUid: string; sopInstanceUid: string };
} = {
  readHeader(file) {
    const header = walk(file, true);
    const required = (keyword: string) => {
      const value = header.get(keyword);
      if (value === undefined || !/^[0-9.]{1,64}$/.test(value))
        throw new DicomError('malformed', `${keyword} is absent or no UID`);
      return value;
    };
    return {
      studyInstanceUid: required('StudyInstanceUID'),
      seriesInstanceUid: required('SeriesInstanceUID'),
      sopInstanceUid: required('SOPInstanceUID'),
      sopClassUid: required('SOPClassUID'),
      transferSyntaxUid: explicitLittleEndian,
      dataSetOffset: dataSetOffset(file),
      dataSet: header,
    };
  },
  async openLarge(file) {
    const bytes = await file.read(0, file.size);
    const header = reader.readHeader(bytes);
    return { ...header, verify: async () => void walk(bytes, false) };
  },
  openWhole: (file) => ({ ...reader.readHeader(file), verify: () => void walk(file, false) }),
  writeMetaHeader,
  strings: (header, keyword) => header.get(keyword)?.split('\\') ?? [],
  itemsOf: () => [],
  correctable: (header) =>
    header.get('Modality') === 'MR'
      ? { ok: true }
      : { ok: false, reason: `Modality is ${header.get('Modality')}` },
  isOwnOutput: (header) => header.get('ImageType')?.startsWith('DERIVED') ?? false,
  derivedUids: (source, derivation) => ({
    seriesInstanceUid: derivedUid(source.seriesInstanceUid, derivation),
    sopInstanceUid: derivedUid(source.sopInstanceUid, derivation),
  }),
};

/** Inverts the pixels; `before` can delay or fail a correction. */
export function invertingModel(
  before: (sop: string) => Promise<void> = async () => {},
): Model<FakeDerivation> {
  return {
    derivation: () => ({ model: 'test' }),
    corrector: {
      async correct({ path, derivation }): Promise<CorrectedFile> {
        const file = await readFile(path);
        const header = reader.readHeader(file);
        await before(header.sopInstanceUid);
        const derived = slice({
          study: header.studyInstanceUid,
          series: derivedUid(header.seriesInstanceUid, derivation),
          sop: derivedUid(header.sopInstanceUid, derivation),
          values: { ImageType: 'DERIVED\\PRIMARY\\M' },
          pixels: Buffer.from(file.subarray(-64).map((byte) => byte ^ 0xff)),
        });
        return {
          ...derived,
          sopClass: mrImageStorage,
          transferSyntax: explicitLittleEndian,
          quality: { residualEnergy: 0.5 },
          ms: { inference: 1 },
        };
      },
    },
  };
}

export type Verdict = Omit<Outcome, 'sopInstanceUid'>;
export const accepted: Verdict = { outcome: 'accepted', status: 0, message: '', transient: false };

/** A destination in memory: what it accepted, in order, and whatever behaviour a test gives it. */
export class FakeDestination implements Destination {
  readonly received: string[] = [];
  readonly attempts = new Map<string, number>();
  sends = 0;
  open = 0;
  mostOpen = 0;

  constructor(
    readonly name: string,
    public judge: (sop: string, attempt: number) => Verdict | Promise<Verdict> = () => accepted,
  ) {}

  async send(instances: readonly Deliverable[], options: SendOptions = {}): Promise<Outcome[]> {
    this.sends += 1;
    this.open += 1;
    this.mostOpen = Math.max(this.mostOpen, this.open);
    const outcomes: Outcome[] = [];
    try {
      for (const instance of instances) {
        const attempt = (this.attempts.get(instance.sopInstanceUid) ?? 0) + 1;
        this.attempts.set(instance.sopInstanceUid, attempt);
        await instance.dataSet();
        const verdict = await this.judge(instance.sopInstanceUid, attempt);
        if (verdict.outcome === 'accepted' || verdict.outcome === 'warning')
          this.received.push(instance.sopInstanceUid);
        const outcome = { sopInstanceUid: instance.sopInstanceUid, ...verdict };
        outcomes.push(outcome);
        options.onOutcome?.(outcome);
      }
    } finally {
      this.open -= 1;
    }
    return outcomes;
  }

  async echo(): Promise<string> {
    return `${this.name} answers`;
  }
}

export const rules: Rule[] = [
  {
    name: 'brain',
    when: { Modality: 'MR', BodyPartExamined: ['BRAIN', 'HEAD'] },
    model: 'test',
    to: ['pacs'],
    complete: { quiet: 40, maxAge: 5000 },
  },
];

export { atEnd };

/** A folder that is gone when the test is over. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mcnet-test-'));
  atEnd(t, () => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Resolves when `holds` does; fails after `ms`. */
export async function eventually(what: string, holds: () => boolean, ms = 30_000): Promise<void> {
  const end = performance.now() + ms;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
