/**
 * Attributes by which objects are found and described, kept beside the rows of the index: values as text in Unicode,
 * by keyword. They name patients: they leave the archive in answers to queries, never in a log.
 */

export type Attributes = Record<string, string[]>;

export interface IndexedAttributes {
  readonly study: Attributes;
  readonly series: Attributes;
  readonly instance: Attributes;
  /** Items of the Request Attributes Sequence (0040,0275), of the series. */
  readonly requests: readonly Attributes[];
}

/** Patient and study level (PS3.4 tables C.6-1, C.6-2, C.6-5; PS3.18 table 10.6.1-5). */
export const STUDY_ATTRIBUTES = [
  'PatientName',
  'PatientID',
  'IssuerOfPatientID',
  'OtherPatientIDs',
  'PatientBirthDate',
  'PatientBirthTime',
  'PatientSex',
  'PatientAge',
  'PatientSize',
  'PatientWeight',
  'EthnicGroup',
  'PatientComments',
  'StudyInstanceUID',
  'StudyID',
  'StudyDate',
  'StudyTime',
  'TimezoneOffsetFromUTC',
  'AccessionNumber',
  'ReferringPhysicianName',
  'StudyDescription',
  'InstitutionName',
] as const;

/** Series level (PS3.4 table C.6-3; PS3.18 table 10.6.1-5). */
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
  'DeviceSerialNumber',
  'SoftwareVersions',
  'MagneticFieldStrength',
  'PerformingPhysicianName',
  'OperatorsName',
  'PerformedProcedureStepStartDate',
  'PerformedProcedureStepStartTime',
  'PerformedProcedureStepID',
  'PerformedProcedureStepDescription',
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

/** Of each item of the Request Attributes Sequence (PS3.18 table 10.6.1-5). */
export const REQUEST_ATTRIBUTES = [
  'AccessionNumber',
  'RequestedProcedureID',
  'RequestedProcedureDescription',
  'ScheduledProcedureStepID',
  'ScheduledProcedureStepDescription',
] as const;

export type ValuesOf = (keyword: string) => string[];

function pick(keywords: readonly string[], values: ValuesOf): Attributes {
  const found: Attributes = {};
  for (const keyword of keywords) {
    const of = values(keyword);
    if (of.length > 0) found[keyword] = of;
  }
  return found;
}

class HeaderAttributes implements IndexedAttributes {
  constructor(
    private readonly values: ValuesOf,
    private readonly items: (keyword: string) => ValuesOf[],
  ) {}

  get study(): Attributes {
    return pick(STUDY_ATTRIBUTES, this.values);
  }

  get series(): Attributes {
    return pick(SERIES_ATTRIBUTES, this.values);
  }

  get instance(): Attributes {
    return pick(INSTANCE_ATTRIBUTES, this.values);
  }

  get requests(): Attributes[] {
    return this.items('RequestAttributesSequence').map((item) => pick(REQUEST_ATTRIBUTES, item));
  }
}

/**
 * What the index keeps of an object, when it is asked for: most of a series is said once.
 * @param values reads its header
 * @param items reads the items of a sequence in it
 */
export function attributesOf(values: ValuesOf, items: (keyword: string) => ValuesOf[]): IndexedAttributes {
  return new HeaderAttributes(values, items);
}
