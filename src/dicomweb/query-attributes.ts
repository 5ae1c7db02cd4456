import {
  SERIES_ATTRIBUTES as INDEXED_OF_SERIES,
  STUDY_ATTRIBUTES as INDEXED_OF_STUDY,
} from '../archive/index.js';
import { tagOf } from '../dicom/index.js';

/** The levels of PS3.18 10.6: what one result stands for. */
export type Level = 'study' | 'series' | 'instance';

const tags = (...keywords: string[]): ReadonlySet<number> => new Set(keywords.map(tagOf));

/** Patient and study attributes that can be matched and returned; the same for all instances of a study. */
export const STUDY_ATTRIBUTES = tags(...INDEXED_OF_STUDY);

/** Series attributes that can be matched and returned; the same for all instances of a series. */
export const SERIES_ATTRIBUTES = tags(...INDEXED_OF_SERIES, 'RequestAttributesSequence');

/** Attributes that this server works out of what it holds. */
export const COMPUTED = {
  instanceAvailability: tagOf('InstanceAvailability'),
  modalitiesInStudy: tagOf('ModalitiesInStudy'),
  sopClassesInStudy: tagOf('SOPClassesInStudy'),
  retrieveUrl: tagOf('RetrieveURL'),
  availableTransferSyntaxUid: tagOf('AvailableTransferSyntaxUID'),
  numberOfStudyRelatedSeries: tagOf('NumberOfStudyRelatedSeries'),
  numberOfStudyRelatedInstances: tagOf('NumberOfStudyRelatedInstances'),
  numberOfSeriesRelatedInstances: tagOf('NumberOfSeriesRelatedInstances'),
} as const;

/** Returned at a level without being asked for (PS3.18 tables 10.6.3-3 to 5): with no value where the object has none. */
export const RETURNED: Readonly<Record<Level, ReadonlySet<number>>> = {
  study: tags(
    'StudyDate',
    'StudyTime',
    'AccessionNumber',
    'ReferringPhysicianName',
    'PatientName',
    'PatientID',
    'PatientBirthDate',
    'PatientSex',
    'StudyInstanceUID',
    'StudyID',
  ),
  series: tags('Modality', 'SeriesInstanceUID', 'SeriesNumber'),
  instance: tags('SOPClassUID', 'SOPInstanceUID', 'InstanceNumber'),
};

/** Returned where the object has them. */
export const RETURNED_IF_KNOWN: Readonly<Record<Level, ReadonlySet<number>>> = {
  study: tags('TimezoneOffsetFromUTC'),
  series: tags(
    'TimezoneOffsetFromUTC',
    'SeriesDescription',
    'PerformedProcedureStepStartDate',
    'PerformedProcedureStepStartTime',
    'RequestAttributesSequence',
  ),
  instance: tags('TimezoneOffsetFromUTC', 'Rows', 'Columns', 'BitsAllocated', 'NumberOfFrames'),
};

/** Whether an attribute can be matched or returned at a level; at the instance level any can. */
export function belongsTo(level: Level, tag: number): boolean {
  return (
    level === 'instance' || STUDY_ATTRIBUTES.has(tag) || (level === 'series' && SERIES_ATTRIBUTES.has(tag))
  );
}
