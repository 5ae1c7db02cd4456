/**
 * Attributes by which objects are found and described, kept beside the rows of the index: values as text in Unicode,
 * by keyword. They name patients: they leave the archive in answers to queries, never in a log.
 */

export type Attributes = Record<string, string[]>;

export interface IndexedAttributes {
  study: Attributes;
  series: Attributes;
  instance: Attributes;
}

/** Patient and study level (PS3.4 tables C.6-1, C.6-2, C.6-5). */
export const STUDY_ATTRIBUTES = [
  'PatientName',
  'PatientID',
  'IssuerOfPatientID',
  'PatientBirthDate',
  'PatientSex',
  'PatientAge',
  'PatientSize',
  'PatientWeight',
  'StudyInstanceUID',
  'StudyID',
  'StudyDate',
  'StudyTime',
  'AccessionNumber',
  'ReferringPhysicianName',
  'StudyDescription',
  'InstitutionName',
] as const;

/** Series level (PS3.4 table C.6-3). */
export const SERIES_ATTRIBUTES = [
  'SeriesInstanceUID',
  'Modality',
  'SeriesNumber',
  'SeriesDescription',
  'SeriesDate',
  'SeriesTime',
  'BodyPartExamined',
  'ProtocolName',
  'PatientPosition',
  'Laterality',
  'FrameOfReferenceUID',
  'Manufacturer',
  'ManufacturerModelName',
  'StationName',
  'PerformedProcedureStepStartDate',
  'PerformedProcedureStepStartTime',
] as const;

/** Instance level (PS3.4 table C.6-4). */
export const INSTANCE_ATTRIBUTES = [
  'SOPClassUID',
  'SOPInstanceUID',
  'InstanceNumber',
  'ImageType',
  'ContentDate',
  'ContentTime',
  'AcquisitionDate',
  'AcquisitionTime',
  'AcquisitionNumber',
  'NumberOfFrames',
  'Rows',
  'Columns',
  'BitsAllocated',
  'ImagePositionPatient',
  'ImageOrientationPatient',
  'SliceLocation',
] as const;

function pick(keywords: readonly string[], values: (keyword: string) => string[]): Attributes {
  const found: Attributes = {};
  for (const keyword of keywords) {
    const of = values(keyword);
    if (of.length > 0) found[keyword] = of;
  }
  return found;
}

/** What the index keeps of an object whose header `values` reads. */
export function attributesOf(values: (keyword: string) => string[]): IndexedAttributes {
  return {
    study: pick(STUDY_ATTRIBUTES, values),
    series: pick(SERIES_ATTRIBUTES, values),
    instance: pick(INSTANCE_ATTRIBUTES, values),
  };
}
