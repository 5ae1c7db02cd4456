/** Finds the series that match conditions as people and rules write them: DICOM keyword to wanted values. */
import { conditionHolds } from '../series/index.js';
import type { Match, Source } from './source.js';

/** As `when` of a routing rule: all keywords must hold; of a list one value must match, a leading `!` excludes. */
export type Conditions = Readonly<Record<string, readonly string[]>>;

export interface FoundSeries {
  study: string;
  series: string;
  /** Where the source says it. */
  instances?: number;
}

/** Attributes that a C-FIND or QIDO-RS knows on the level of a study (PS3.4 C.6.2.1.2, PS3.18 10.6.1.2). */
const STUDY_KEYS = new Set([
  'StudyDate',
  'StudyTime',
  'AccessionNumber',
  'ModalitiesInStudy',
  'ReferringPhysicianName',
  'StudyDescription',
  'PatientName',
  'PatientID',
  'PatientBirthDate',
  'PatientSex',
  'StudyInstanceUID',
  'StudyID',
]);
/** Matched by the source alone: what it returns need not look like what was asked for. */
const BY_SOURCE = new Set(['StudyDate', 'StudyTime', 'PatientName', 'PatientBirthDate']);

/** One plain value can be matched by the source; the rest is asked for and looked at here. */
function keyOf(wanted: readonly string[]): string {
  const [only] = wanted;
  return wanted.length === 1 && only !== undefined && !only.startsWith('!') ? only : '';
}

function keysOf(conditions: readonly [string, readonly string[]][], asked: readonly string[]) {
  const keys = new Map<string, string>(asked.map((keyword) => [keyword, '']));
  for (const [keyword, wanted] of conditions) keys.set(keyword, keyOf(wanted));
  return keys;
}

/** A source may not know an optional key, and then returns what does not match: it is looked at again. */
function holds(match: Match, conditions: readonly [string, readonly string[]][]): boolean {
  return conditions.every(
    ([keyword, wanted]) =>
      (BY_SOURCE.has(keyword) && keyOf(wanted) !== '') || conditionHolds(wanted, match.values(keyword)),
  );
}

const uidSyntax = /^[0-9]+(\.[0-9]+)*$/;

function uidIn(match: Match, keyword: string): string | undefined {
  const uid = match.values(keyword)[0];
  return uid !== undefined && uid.length <= 64 && uidSyntax.test(uid) ? uid : undefined;
}

/**
 * Studies that match, and of them the series that match.
 * @throws Error of the source
 */
export async function findSeries(
  source: Source,
  conditions: Conditions,
  signal?: AbortSignal,
): Promise<FoundSeries[]> {
  const all = Object.entries(conditions);
  const ofStudy = all.filter(([keyword]) => STUDY_KEYS.has(keyword));
  const ofSeries = all.filter(([keyword]) => !STUDY_KEYS.has(keyword));
  // A series by its UID alone: a relational query (PS3.4 C.4.1.2.2), not a look at every study there is.
  if (ofStudy.length === 0 && conditions.SeriesInstanceUID !== undefined)
    return seriesOf(source, '', ofSeries, signal);
  const studies = await source.find('STUDY', keysOf(ofStudy, ['StudyInstanceUID']), signal);
  const found: FoundSeries[] = [];
  for (const study of studies) {
    const uid = uidIn(study, 'StudyInstanceUID');
    if (uid === undefined || !holds(study, ofStudy)) continue;
    found.push(...(await seriesOf(source, uid, ofSeries, signal)));
  }
  return found;
}

async function seriesOf(
  source: Source,
  study: string,
  conditions: readonly [string, readonly string[]][],
  signal: AbortSignal | undefined,
): Promise<FoundSeries[]> {
  const keys = keysOf(conditions, ['SeriesInstanceUID', 'NumberOfSeriesRelatedInstances']);
  keys.set('StudyInstanceUID', study);
  const matches = await source.find('SERIES', keys, signal);
  return matches.flatMap((match): FoundSeries[] => {
    const found = study === '' ? uidIn(match, 'StudyInstanceUID') : study;
    const series = uidIn(match, 'SeriesInstanceUID');
    if (found === undefined || series === undefined || !holds(match, conditions)) return [];
    const instances = Number(match.values('NumberOfSeriesRelatedInstances')[0]);
    return [{ study: found, series, ...(Number.isInteger(instances) && instances > 0 && { instances }) }];
  });
}
