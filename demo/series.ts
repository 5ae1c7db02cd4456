import { randomUUID } from 'node:crypto';
import { DataSetWriter, tagOf, uidFromName } from '../src/dicom/index.js';

const MR_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.4';
export const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';

/** A slice of a sagittal stack: rows from superior to inferior, columns from anterior to posterior. */
export interface SagittalSlice {
  /** rows × columns stored values, 0 to 4095 */
  pixels: Uint16Array;
  rows: number;
  columns: number;
  /** Square pixels, mm. */
  spacing: number;
  /** mm to the patient's left of the middle. */
  position: number;
  /** mm between slices. */
  thickness: number;
  phaseEncoding: 'ROW' | 'COL';
}

export interface DemoInstance {
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
  /** The data set, without preamble and meta header. */
  dataSet: Buffer;
}

function number(value: number): string {
  return String(Math.round(value * 1e6) / 1e6);
}

/** MR Image Storage objects (PS3.3 A.4) as an MP-RAGE of a synthetic patient gives them: one series of a new study. */
export function writeSeries(slices: readonly SagittalSlice[]): {
  seriesUid: string;
  instances: DemoInstance[];
} {
  const newUid = () => uidFromName(randomUUID());
  const [studyUid, seriesUid, frameOfReferenceUid] = [newUid(), newUid(), newUid()];
  const now = new Date().toISOString();
  const date = now.slice(0, 10).replaceAll('-', '');
  const time = now.slice(11, 19).replaceAll(':', '');
  const instances = slices.map((slice, index): DemoInstance => {
    const { rows, columns, spacing, position, thickness, phaseEncoding, pixels } = slice;
    const sopInstanceUid = newUid();
    const corner = [position, (-(columns - 1) / 2) * spacing, ((rows - 1) / 2) * spacing].map(number);
    const values: [keyword: string, vr: string, value: string | number][] = [
      ['SpecificCharacterSet', 'CS', 'ISO_IR 192'],
      ['ImageType', 'CS', 'ORIGINAL\\PRIMARY\\M\\NONE'],
      ['SOPClassUID', 'UI', MR_IMAGE_STORAGE],
      ['SOPInstanceUID', 'UI', sopInstanceUid],
      ['StudyDate', 'DA', date],
      ['SeriesDate', 'DA', date],
      ['AcquisitionDate', 'DA', date],
      ['ContentDate', 'DA', date],
      ['StudyTime', 'TM', time],
      ['SeriesTime', 'TM', time],
      ['AcquisitionTime', 'TM', time],
      ['ContentTime', 'TM', time],
      ['AccessionNumber', 'SH', ''],
      ['Modality', 'CS', 'MR'],
      ['Manufacturer', 'LO', 'MC-Net demo'],
      ['ReferringPhysicianName', 'PN', ''],
      ['SeriesDescription', 'LO', 'T1 MP-RAGE sagittal, simulated'],
      ['PatientName', 'PN', 'Phantom^Synthetic'],
      ['PatientID', 'LO', 'SYNTHETIC-1'],
      ['PatientBirthDate', 'DA', ''],
      ['PatientSex', 'CS', 'O'],
      ['BodyPartExamined', 'CS', 'BRAIN'],
      ['ScanningSequence', 'CS', 'GR\\IR'],
      ['SequenceVariant', 'CS', 'SP\\MP'],
      ['ScanOptions', 'CS', ''],
      ['MRAcquisitionType', 'CS', '3D'],
      ['SliceThickness', 'DS', number(thickness)],
      ['RepetitionTime', 'DS', '2300'],
      ['EchoTime', 'DS', '2.98'],
      ['InversionTime', 'DS', '900'],
      ['MagneticFieldStrength', 'DS', '3'],
      ['EchoTrainLength', 'IS', '1'],
      ['InPlanePhaseEncodingDirection', 'CS', phaseEncoding],
      ['FlipAngle', 'DS', '9'],
      ['PatientPosition', 'CS', 'HFS'],
      ['StudyInstanceUID', 'UI', studyUid],
      ['SeriesInstanceUID', 'UI', seriesUid],
      ['StudyID', 'SH', '1'],
      ['SeriesNumber', 'IS', '2'],
      ['InstanceNumber', 'IS', String(index + 1)],
      ['ImagePositionPatient', 'DS', corner.join('\\')],
      ['ImageOrientationPatient', 'DS', '0\\1\\0\\0\\0\\-1'],
      ['FrameOfReferenceUID', 'UI', frameOfReferenceUid],
      ['PositionReferenceIndicator', 'LO', ''],
      ['SamplesPerPixel', 'US', 1],
      ['PhotometricInterpretation', 'CS', 'MONOCHROME2'],
      ['Rows', 'US', rows],
      ['Columns', 'US', columns],
      ['PixelSpacing', 'DS', `${number(spacing)}\\${number(spacing)}`],
      ['BitsAllocated', 'US', 16],
      ['BitsStored', 'US', 12],
      ['HighBit', 'US', 11],
      ['PixelRepresentation', 'US', 0],
      ['WindowCenter', 'DS', '1500'],
      ['WindowWidth', 'DS', '3000'],
    ];
    const writer = new DataSetWriter(pixels.byteLength + 4096);
    for (const [keyword, vr, value] of values) {
      const bytes =
        typeof value === 'number' ? Buffer.from(Uint16Array.of(value).buffer) : Buffer.from(value);
      writer.value(tagOf(keyword), vr, bytes);
    }
    writer.value(
      tagOf('PixelData'),
      'OW',
      new Uint8Array(pixels.buffer, pixels.byteOffset, pixels.byteLength),
    );
    return {
      sopClassUid: MR_IMAGE_STORAGE,
      sopInstanceUid,
      transferSyntaxUid: EXPLICIT_LITTLE_ENDIAN,
      dataSet: writer.finish(),
    };
  });
  return { seriesUid, instances };
}
