import {
  type Archive,
  type Attributes,
  type Instance,
  type InstanceRow,
  instanceOf,
  selectInstance,
} from '../archive/index.js';
import { WITHHELD } from '../series/index.js';

/** UIDs of a resource; what is left out is not restricted. */
export interface ResourceKey {
  study?: string | undefined;
  series?: string | undefined;
  sop?: string | undefined;
}

/** What the index itself can restrict a search to. */
export interface Restriction {
  studies?: readonly string[] | undefined;
  series?: readonly string[] | undefined;
  sops?: readonly string[] | undefined;
  /** Patient IDs, one of which it is. */
  patients?: readonly string[] | undefined;
  /** First and last study date, DA without divisions. */
  dates?: { from: string; to: string } | undefined;
}

/** What the index knows of a study, a series or an instance, with what it knows of those above. */
export interface Known {
  attributes: Attributes;
  /** Items of the Request Attributes Sequence; of a study none. */
  requests: readonly Attributes[];
}

export interface HeldStudy {
  study: string;
  /** undefined: nothing of it has been indexed yet, its files must be asked. */
  known: Known | undefined;
}

export interface HeldSeries extends HeldStudy {
  id: number;
  series: string;
}

export interface HeldInstance extends HeldSeries {
  instance: Instance;
}

/** What is held, received and derived alike: of each object the version that counts. */
export interface Holdings {
  /** The instances of a resource, series by series in the order in which they came. */
  instances(key: ResourceKey): Instance[];
  /** Some studies behind the last one given, the latest first; `next` is absent at the end. */
  studies(among: Restriction, after?: number): { found: HeldStudy[]; next?: number };
  /** Some series, the first first. */
  series(among: Restriction, after?: number): { found: HeldSeries[]; next?: number };
  /** All instances of a series, or those named, in the order in which they came. */
  heldIn(series: HeldSeries, sops: readonly string[] | undefined): HeldInstance[];
  /** All series of a study, the first first. */
  seriesOf(study: string): HeldSeries[];
  /** The first instance of a series, which stands for it; undefined when nothing is left of it. */
  firstOf(seriesId: number): Instance | undefined;
  countOf(seriesId: number): number;
  sopClassesOf(study: string): string[];
}

const AT_A_TIME = 200;

interface Row {
  id: number;
  study: string;
  series: string;
  study_attributes: string | null;
  series_attributes: string | null;
  requests: string | null;
}

const SERIES = `SELECT s.id, s.study, s.series, s.attributes AS series_attributes, s.requests, st.attributes AS study_attributes
  FROM series s LEFT JOIN studies st ON st.study = s.study`;

function knownOf({ study_attributes: study, series_attributes: series, requests }: Row): Known | undefined {
  if (study === null || series === null) return undefined;
  return {
    attributes: { ...(JSON.parse(study) as Attributes), ...(JSON.parse(series) as Attributes) },
    requests: requests === null ? [] : (JSON.parse(requests) as Attributes[]),
  };
}

function heldSeries(row: Row): HeldSeries {
  return { id: row.id, study: row.study, series: row.series, known: knownOf(row) };
}

class Terms {
  readonly sql: string[] = [];
  readonly values: (string | number)[] = [];
  among(column: string, list: readonly string[] | undefined): void {
    if (list === undefined) return;
    this.sql.push(`${column} IN (SELECT value FROM json_each(?))`);
    this.values.push(JSON.stringify(list));
  }
  add(term: string, ...values: (string | number)[]): void {
    this.sql.push(term);
    this.values.push(...values);
  }
}

/** A study that is not indexed yet is not restricted by what its attributes would say. */
function restricted({ studies, series, patients, dates }: Restriction, unknownToo: boolean): Terms {
  const terms = new Terms();
  const or = unknownToo ? ' OR st.id IS NULL' : '';
  terms.among(unknownToo ? 's.study' : 'st.study', studies);
  if (unknownToo) terms.among('s.series', series);
  if (patients) {
    terms.add(`(st.patient_id IN (SELECT value FROM json_each(?))${or})`, JSON.stringify(patients));
  }
  if (dates) terms.add(`(st.study_date BETWEEN ? AND ?${or})`, dates.from, dates.to);
  return terms;
}

/**
 * The archive as DICOMweb sees it.
 * @param withheld whether what waits to be accepted, or was rejected, is there like anything else
 */
export function holdingsOf(
  { db, files }: Pick<Archive, 'db' | 'files'>,
  withheld: 'shown' | 'hidden',
): Holdings {
  const there = withheld === 'shown' ? 'i.current = 1' : `i.current = 1 AND NOT ${WITHHELD}`;
  const current = `i.series_id = s.id AND ${there}`;
  const toInstance = (row: InstanceRow) => instanceOf(row, files.absolutePath);

  /** Studies of which nothing has been indexed. */
  function unindexed(among: Restriction): HeldStudy[] {
    const terms = new Terms();
    terms.among('s.study', among.studies);
    return db
      .all<{ study: string }>(
        `SELECT s.study FROM instances i JOIN series s ON ${current}
         WHERE ${['i.attributes IS NULL', ...terms.sql].join(' AND ')}
           AND NOT EXISTS (SELECT 1 FROM studies st WHERE st.study = s.study)
         GROUP BY s.study ORDER BY MIN(s.id) DESC`,
        ...terms.values,
      )
      .map(({ study }) => ({ study, known: undefined }));
  }

  return {
    instances({ study, series, sop }) {
      const terms = new Terms();
      terms.add(there);
      for (const [column, value] of [
        ['s.study', study],
        ['s.series', series],
        ['i.sop', sop],
      ] as const) {
        if (value !== undefined) terms.add(`${column} = ?`, value);
      }
      return db
        .all<InstanceRow>(
          `${selectInstance} WHERE ${terms.sql.join(' AND ')} ORDER BY s.id, i.id`,
          ...terms.values,
        )
        .map(toInstance);
    },
    studies(among, after = Number.MAX_SAFE_INTEGER) {
      const terms = restricted(among, false);
      terms.add(`EXISTS (SELECT 1 FROM series s JOIN instances i ON ${current} WHERE s.study = st.study)`);
      terms.add('st.id < ?', after);
      const rows = db.all<{ id: number; study: string; attributes: string }>(
        `SELECT st.id, st.study, st.attributes FROM studies st WHERE ${terms.sql.join(' AND ')}
         ORDER BY st.id DESC LIMIT ${AT_A_TIME}`,
        ...terms.values,
      );
      const found: HeldStudy[] = rows.map(({ study, attributes }) => ({
        study,
        known: { attributes: JSON.parse(attributes) as Attributes, requests: [] },
      }));
      if (rows.length === AT_A_TIME) return { found, next: rows.at(-1)!.id };
      return { found: [...found, ...unindexed(among)] };
    },
    series(among, after = 0) {
      const terms = restricted(among, true);
      terms.add(`EXISTS (SELECT 1 FROM instances i WHERE ${current})`);
      terms.add('s.id > ?', after);
      if (among.sops) {
        terms.add(
          's.id IN (SELECT series_id FROM instances WHERE sop IN (SELECT value FROM json_each(?)))',
          JSON.stringify(among.sops),
        );
      }
      const rows = db.all<Row>(
        `${SERIES} WHERE ${terms.sql.join(' AND ')} ORDER BY s.id LIMIT ${AT_A_TIME}`,
        ...terms.values,
      );
      const found = rows.map(heldSeries);
      return rows.length === AT_A_TIME ? { found, next: rows.at(-1)!.id } : { found };
    },
    heldIn(of, sops) {
      const terms = new Terms();
      terms.add(`i.series_id = ? AND ${there}`, of.id);
      terms.among('i.sop', sops);
      return db
        .all<InstanceRow & { attributes: string | null }>(
          `${selectInstance} WHERE ${terms.sql.join(' AND ')} ORDER BY i.id`,
          ...terms.values,
        )
        .map((row) => ({
          ...of,
          instance: toInstance(row),
          known:
            of.known && row.attributes !== null
              ? {
                  ...of.known,
                  attributes: { ...of.known.attributes, ...(JSON.parse(row.attributes) as Attributes) },
                }
              : undefined,
        }));
    },
    seriesOf: (study) => db.all<Row>(`${SERIES} WHERE s.study = ? ORDER BY s.id`, study).map(heldSeries),
    firstOf(seriesId) {
      const row = db.get<InstanceRow>(
        `${selectInstance} WHERE i.series_id = ? AND ${there} ORDER BY i.id LIMIT 1`,
        seriesId,
      );
      return row && toInstance(row);
    },
    countOf: (seriesId) =>
      db.get<{ n: number }>(
        `SELECT COUNT(*) AS n FROM instances i WHERE i.series_id = ? AND ${there}`,
        seriesId,
      )!.n,
    sopClassesOf: (study) =>
      db
        .all<{ sop_class: string }>(
          `SELECT DISTINCT i.sop_class FROM instances i JOIN series s ON s.id = i.series_id
             WHERE s.study = ? AND ${there} ORDER BY i.sop_class`,
          study,
        )
        .map(({ sop_class: sopClass }) => sopClass),
  };
}
