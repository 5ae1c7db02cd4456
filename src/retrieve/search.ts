/** C-FIND over the index of the archive: entities of a level that match an identifier, with the attributes asked for. */
import {
  type Archive,
  type Attributes,
  INSTANCE_ATTRIBUTES,
  SERIES_ATTRIBUTES,
  STUDY_ATTRIBUTES,
} from '../archive/index.js';
import {
  type DataSet,
  dictionaryVr,
  keywordOf,
  type OutgoingElement,
  strings,
  US_OR_SS,
} from '../dicom/index.js';
import { WITHHELD } from '../series/index.js';
import { matches, rangeOf } from './matching.js';
import { type Level, levelOf, type Root, type UniqueKeys, uniqueKeys } from './model.js';

export interface Match {
  /** The identifier of the response. */
  elements: OutgoingElement[];
  /** False when the query has keys that this archive does not know, which were not matched. */
  allKeysSupported: boolean;
}

interface Key {
  tag: number;
  keyword: string | undefined;
  vr: string;
  values: string[];
}

interface Row {
  id: number;
  study: string;
  series: string | null;
  patient_id: string;
  study_attributes: string;
  series_attributes: string | null;
  instance_attributes: string | null;
}

/** Not attributes to match: they say how to read the identifier. */
const NO_KEYS = new Set([0x00080005, 0x00080052, 0x00080053, 0x00080054, 0x00080056, 0x00080201]);
const SPECIFIC_CHARACTER_SET = 0x00080005;
const QUERY_RETRIEVE_LEVEL = 0x00080052;
const RETRIEVE_AE_TITLE = 0x00080054;
const INSTANCE_AVAILABILITY = 0x00080056;

const LEVEL_ATTRIBUTES: Record<Level, readonly string[]> = {
  PATIENT: ['PatientName', 'PatientID', 'IssuerOfPatientID', 'PatientBirthDate', 'PatientSex'],
  STUDY: STUDY_ATTRIBUTES,
  SERIES: [...STUDY_ATTRIBUTES, ...SERIES_ATTRIBUTES],
  IMAGE: [...STUDY_ATTRIBUTES, ...SERIES_ATTRIBUTES, ...INSTANCE_ATTRIBUTES],
};

const COMPUTED: Record<Level, readonly string[]> = {
  PATIENT: ['NumberOfPatientRelatedStudies'],
  STUDY: [
    'ModalitiesInStudy',
    'SOPClassesInStudy',
    'NumberOfStudyRelatedSeries',
    'NumberOfStudyRelatedInstances',
  ],
  SERIES: ['NumberOfSeriesRelatedInstances'],
  IMAGE: [],
};

/** Rows looked at between two breaths of the event loop. */
const PAGE = 200;

function vrOf(tag: number): string {
  const vr = dictionaryVr(tag);
  return vr === US_OR_SS ? 'US' : vr;
}

function keysOf(identifier: DataSet): Key[] {
  return [...identifier.elements.values()]
    .filter(({ tag }) => (tag & 0xffff) !== 0 && !NO_KEYS.has(tag))
    .map(({ tag, vr, items }) => {
      const known = vrOf(tag);
      const of = items !== undefined || known === 'SQ' ? 'SQ' : known === 'UN' ? vr : known;
      return { tag, keyword: keywordOf(tag), vr: of, values: of === 'SQ' ? [] : strings(identifier, tag) };
    });
}

const CURRENT = `i.series_id = s.id AND i.current = 1 AND i.attributes IS NOT NULL AND NOT ${WITHHELD}`;

const FROM: Record<Level, string> = {
  PATIENT: `SELECT MIN(st.id) AS id, st.study, NULL AS series, st.patient_id, st.attributes AS study_attributes,
      NULL AS series_attributes, NULL AS instance_attributes
    FROM studies st WHERE EXISTS (SELECT 1 FROM series s JOIN instances i ON ${CURRENT} WHERE s.study = st.study)`,
  STUDY: `SELECT st.id, st.study, NULL AS series, st.patient_id, st.attributes AS study_attributes,
      NULL AS series_attributes, NULL AS instance_attributes
    FROM studies st WHERE EXISTS (SELECT 1 FROM series s JOIN instances i ON ${CURRENT} WHERE s.study = st.study)`,
  SERIES: `SELECT s.id, s.study, s.series, st.patient_id, st.attributes AS study_attributes,
      s.attributes AS series_attributes, NULL AS instance_attributes
    FROM series s JOIN studies st ON st.study = s.study
    WHERE s.attributes IS NOT NULL AND EXISTS (SELECT 1 FROM instances i WHERE ${CURRENT})`,
  IMAGE: `SELECT i.id, s.study, s.series, st.patient_id, st.attributes AS study_attributes,
      s.attributes AS series_attributes, i.attributes AS instance_attributes
    FROM instances i JOIN series s ON ${CURRENT} JOIN studies st ON st.study = s.study
    WHERE s.attributes IS NOT NULL`,
};

const ID: Record<Level, string> = { PATIENT: 'st.id', STUDY: 'st.id', SERIES: 's.id', IMAGE: 'i.id' };

function restrictions(keys: UniqueKeys, identifier: DataSet): { sql: string[]; values: string[] } {
  const sql: string[] = [];
  const values: string[] = [];
  const among = (column: string, list: string[] | undefined) => {
    if (list === undefined) return;
    sql.push(`${column} IN (SELECT value FROM json_each(?))`);
    values.push(JSON.stringify(list));
  };
  among('st.patient_id', keys.patients);
  among('st.study', keys.studies);
  among('s.series', keys.series);
  among('i.sop', keys.instances);
  const date = strings(identifier, 'StudyDate')[0];
  if (date !== undefined && date !== '') {
    const { from, to } = rangeOf('DA', date);
    sql.push('st.study_date BETWEEN ? AND ?');
    values.push(from, to);
  }
  return { sql, values };
}

/**
 * Matches of an identifier, in the order in which they were archived. Stops when `signal` fires.
 * @throws IdentifierError when the identifier has no level of the root's model
 */
export async function* search(
  archive: Archive,
  identifier: DataSet,
  options: { root: Root; aeTitle: string; signal: AbortSignal },
): AsyncGenerator<Match> {
  const { db } = archive;
  const level = levelOf(identifier, options.root);
  const keys = keysOf(identifier);
  const known = new Set([...LEVEL_ATTRIBUTES[level], ...COMPUTED[level]]);
  const allKeysSupported = keys.every(({ keyword }) => keyword !== undefined && known.has(keyword));
  const asked = keys.filter(({ keyword }) => keyword !== undefined && known.has(keyword));
  const withAvailability = identifier.elements.has(INSTANCE_AVAILABILITY);

  const { sql, values } = restrictions(uniqueKeys(identifier, level), identifier);
  const group = level === 'PATIENT' ? ' GROUP BY st.patient_id' : '';
  const page = `${[FROM[level], ...sql].join(' AND ')} AND ${ID[level]} > ?${group} ORDER BY ${ID[level]} LIMIT ${PAGE}`;
  // Grouped rows cannot be paged by their id: a patient's later study would name him again.
  const patients = new Set<string>();
  let last = 0;
  for (;;) {
    const rows = db.all<Row>(page, ...values, last);
    for (const row of rows) {
      if (options.signal.aborted) return;
      last = row.id;
      if (level === 'PATIENT') {
        if (patients.has(row.patient_id)) continue;
        patients.add(row.patient_id);
      }
      const found = attributesOfRow(row);
      if (!asked.every((key) => matches(key.vr, key.values, valuesOf(key, found, row)))) continue;
      yield { elements: responseOf(keys, found, row), allKeysSupported };
    }
    if (rows.length < PAGE) return;
    await new Promise(setImmediate);
  }

  function valuesOf({ keyword }: Key, found: Attributes, row: Row): string[] {
    if (keyword === undefined || !known.has(keyword)) return [];
    if (!COMPUTED[level].includes(keyword)) return found[keyword] ?? [];
    return computed(archive, keyword, row);
  }

  function responseOf(of: readonly Key[], found: Attributes, row: Row): OutgoingElement[] {
    const elements = of.map((key) => ({ ...key, found: valuesOf(key, found, row) }));
    const ascii = elements.every((each) => each.found.every((value) => /^[\x20-\x7e]*$/.test(value)));
    const text = (tag: number, vr: string, value: string) => ({ tag, vr, bytes: Buffer.from(value) });
    return [
      ...(ascii ? [] : [text(SPECIFIC_CHARACTER_SET, 'CS', 'ISO_IR 192')]),
      text(QUERY_RETRIEVE_LEVEL, 'CS', level),
      text(RETRIEVE_AE_TITLE, 'AE', options.aeTitle),
      ...(withAvailability ? [text(INSTANCE_AVAILABILITY, 'CS', 'ONLINE')] : []),
      ...elements.map(
        ({ tag, vr, found: values }): OutgoingElement =>
          vr === 'SQ' ? { tag, vr, items: [] } : { tag, vr, bytes: encode(vr, values) },
      ),
    ];
  }
}

function attributesOfRow(row: Row): Attributes {
  return {
    ...(JSON.parse(row.study_attributes) as Attributes),
    ...(row.series_attributes !== null && (JSON.parse(row.series_attributes) as Attributes)),
    ...(row.instance_attributes !== null && (JSON.parse(row.instance_attributes) as Attributes)),
  };
}

function computed({ db }: Archive, keyword: string, row: Row): string[] {
  const list = (sql: string, ...values: string[]) =>
    db.all<{ value: string | number | null }>(sql, ...values).map(({ value }) => String(value ?? ''));
  const ofStudy = `FROM series s JOIN instances i ON ${CURRENT} WHERE s.study = ?`;
  switch (keyword) {
    case 'ModalitiesInStudy':
      return list(
        `SELECT DISTINCT json_extract(s.attributes, '$.Modality[0]') AS value ${ofStudy} ORDER BY value`,
        row.study,
      ).filter((value) => value !== '');
    case 'SOPClassesInStudy':
      return list(`SELECT DISTINCT i.sop_class AS value ${ofStudy} ORDER BY value`, row.study);
    case 'NumberOfStudyRelatedSeries':
      return list(`SELECT COUNT(DISTINCT s.id) AS value ${ofStudy}`, row.study);
    case 'NumberOfStudyRelatedInstances':
      return list(`SELECT COUNT(*) AS value ${ofStudy}`, row.study);
    case 'NumberOfSeriesRelatedInstances':
      return list(`SELECT COUNT(*) AS value ${ofStudy} AND s.series = ?`, row.study, row.series ?? '');
    default:
      return list('SELECT COUNT(*) AS value FROM studies WHERE patient_id = ?', row.patient_id);
  }
}

function encode(vr: string, values: readonly string[]): Buffer {
  if (vr !== 'US') return Buffer.from(values.join('\\'));
  const bytes = Buffer.alloc(2 * values.length);
  values.forEach((value, index) => {
    bytes.writeUInt16LE(Number(value) & 0xffff, 2 * index);
  });
  return bytes;
}
