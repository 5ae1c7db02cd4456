/** The query/retrieve information models: levels, and what identifies an entity on each (PS3.4 C.6.1, C.6.2). */
import { type DataSet, string, strings } from '../dicom/index.js';

export type Root = 'patient' | 'study';
export type Level = 'PATIENT' | 'STUDY' | 'SERIES' | 'IMAGE';

const LEVELS: readonly Level[] = ['PATIENT', 'STUDY', 'SERIES', 'IMAGE'];

export const UNIQUE_KEY: Record<Level, string> = {
  PATIENT: 'PatientID',
  STUDY: 'StudyInstanceUID',
  SERIES: 'SeriesInstanceUID',
  IMAGE: 'SOPInstanceUID',
};

/** The identifier does not fit the model: status 0xA900. */
export class IdentifierError extends Error {
  override name = 'IdentifierError';
}

/** @throws IdentifierError when Query/Retrieve Level is absent or none of the model's. */
export function levelOf(identifier: DataSet, root: Root): Level {
  const level = string(identifier, 'QueryRetrieveLevel');
  const known = LEVELS.find((each) => each === level);
  if (known === undefined) throw new IdentifierError('Query/Retrieve Level is absent or unknown');
  if (known === 'PATIENT' && root === 'study')
    throw new IdentifierError('the study root has no PATIENT level');
  return known;
}

/** Values of the unique keys down to a level; undefined where the identifier does not restrict them. */
export interface UniqueKeys {
  patients?: string[];
  studies?: string[];
  series?: string[];
  instances?: string[];
}

const FIELDS = { PATIENT: 'patients', STUDY: 'studies', SERIES: 'series', IMAGE: 'instances' } as const;

export function uniqueKeys(identifier: DataSet, level: Level): UniqueKeys {
  const keys: UniqueKeys = {};
  for (const each of LEVELS.slice(0, LEVELS.indexOf(level) + 1)) {
    const values = strings(identifier, UNIQUE_KEY[each]).filter((value) => value !== '');
    const wild = each === 'PATIENT' && values.some((value) => /[*?]/.test(value));
    if (values.length > 0 && !wild) keys[FIELDS[each]] = values;
  }
  return keys;
}

/** @throws IdentifierError when the level's own key, without which nothing may be retrieved, is missing. */
export function retrieveKeys(identifier: DataSet, root: Root): UniqueKeys {
  const level = levelOf(identifier, root);
  const keys = uniqueKeys(identifier, level);
  if (keys[FIELDS[level]] === undefined)
    throw new IdentifierError(`${UNIQUE_KEY[level]} is missing at level ${level}`);
  return keys;
}
