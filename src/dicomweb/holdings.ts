import {
  type Archive,
  type Instance,
  type InstanceRow,
  instanceOf,
  selectInstance,
} from '../archive/index.js';

/** UIDs of a resource; what is left out is not restricted. */
export interface ResourceKey {
  study?: string | undefined;
  series?: string | undefined;
  sop?: string | undefined;
}

/** A series that holds something. */
export interface HeldSeries {
  id: number;
  study: string;
  series: string;
}

/** What is held, received and derived alike: of each object the version that counts. */
export interface Holdings {
  /** The instances of a resource, series by series in the order in which they came. */
  instances(key: ResourceKey): Instance[];
  /** Study Instance UIDs, the latest first. */
  studies(among?: readonly string[]): string[];
  /** All series of a study, the first first. */
  seriesOf(study: string): HeldSeries[];
  /** Some series behind one in the order in which they came; none at the end. */
  seriesAfter(
    id: number,
    among: { studies?: readonly string[] | undefined; series?: readonly string[] | undefined },
  ): HeldSeries[];
  /** The first instance of a series, which stands for it; undefined when nothing is left of it. */
  firstOf(seriesId: number): Instance | undefined;
  instancesOf(seriesId: number): Instance[];
  countOf(seriesId: number): number;
  sopClassesOf(study: string): string[];
}

const SERIES_AT_A_TIME = 200;

/** The archive as DICOMweb sees it. */
export function holdingsOf({ db, files }: Pick<Archive, 'db' | 'files'>): Holdings {
  const toInstance = (row: InstanceRow) => instanceOf(row, files.absolutePath);
  const list = (among: readonly string[] | undefined) => (among === undefined ? [] : [JSON.stringify(among)]);
  const within = (column: string, among: readonly string[] | undefined) =>
    among === undefined ? '' : `AND ${column} IN (SELECT value FROM json_each(?))`;
  return {
    instances({ study, series, sop }) {
      const terms: string[] = ['i.current = 1'];
      const values: string[] = [];
      for (const [column, value] of [
        ['s.study', study],
        ['s.series', series],
        ['i.sop', sop],
      ] as const) {
        if (value === undefined) continue;
        terms.push(`${column} = ?`);
        values.push(value);
      }
      return db
        .all<InstanceRow>(`${selectInstance} WHERE ${terms.join(' AND ')} ORDER BY s.id, i.id`, ...values)
        .map(toInstance);
    },
    studies: (among) =>
      db
        .all<{ study: string }>(
          `SELECT study FROM series WHERE 1 ${within('study', among)} GROUP BY study ORDER BY MIN(id) DESC`,
          ...list(among),
        )
        .map(({ study }) => study),
    seriesOf: (study) =>
      db.all<HeldSeries>('SELECT id, study, series FROM series WHERE study = ? ORDER BY id', study),
    seriesAfter: (id, { studies, series }) =>
      db.all<HeldSeries>(
        `SELECT id, study, series FROM series WHERE id > ? ${within('study', studies)} ${within('series', series)}
           ORDER BY id LIMIT ${SERIES_AT_A_TIME}`,
        id,
        ...list(studies),
        ...list(series),
      ),
    firstOf(seriesId) {
      const row = db.get<InstanceRow>(
        `${selectInstance} WHERE i.series_id = ? AND i.current = 1 ORDER BY i.id LIMIT 1`,
        seriesId,
      );
      return row && toInstance(row);
    },
    instancesOf: (seriesId) =>
      db
        .all<InstanceRow>(`${selectInstance} WHERE i.series_id = ? AND i.current = 1 ORDER BY i.id`, seriesId)
        .map(toInstance),
    countOf: (seriesId) =>
      db.get<{ n: number }>(
        'SELECT COUNT(*) AS n FROM instances WHERE series_id = ? AND current = 1',
        seriesId,
      )!.n,
    sopClassesOf: (study) =>
      db
        .all<{ sop_class: string }>(
          `SELECT DISTINCT i.sop_class FROM instances i JOIN series s ON s.id = i.series_id
             WHERE s.study = ? AND i.current = 1 ORDER BY i.sop_class`,
          study,
        )
        .map(({ sop_class: sopClass }) => sopClass),
  };
}
