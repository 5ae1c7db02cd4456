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

/** What is held, received and derived alike: of each object the version that counts. */
export interface Holdings {
  /** The instances of a resource, series by series in the order in which they came. */
  instances(key: ResourceKey): Instance[];
}

/** The archive as DICOMweb sees it. */
export function holdingsOf({ db, files }: Pick<Archive, 'db' | 'files'>): Holdings {
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
        .map((row) => instanceOf(row, files.absolutePath));
    },
  };
}
