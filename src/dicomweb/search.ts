import { setImmediate as turn } from 'node:timers/promises';
import type { Instance } from '../archive/index.js';
import { dictionaryVr, tagOf } from '../dicom/index.js';
import { instancePath } from './answer.js';
import { jsonTag } from './dicom-json.js';
import { headerOf } from './headers.js';
import type { HeldSeries, Holdings, Known, Restriction } from './holdings.js';
import { indexedAttribute, indexedHeader, isIndexed } from './indexed-header.js';
import type { JsonAttribute, JsonDataSet, JsonValue } from './json-model.js';
import { matches, matchesAttribute } from './matching.js';
import {
  belongsTo,
  COMPUTED,
  type Level,
  RETURNED,
  RETURNED_IF_KNOWN,
  SERIES_ATTRIBUTES,
  STUDY_ATTRIBUTES,
} from './query-attributes.js';
import type { Query } from './query-request.js';
import { readAhead } from './read-ahead.js';

interface Row {
  study: string;
  series: HeldSeries | undefined;
  instance: Instance | undefined;
  known: Known | undefined;
}

/** The attributes of a row, from the index or from its file. */
interface Header {
  get(tag: number): JsonAttribute | undefined;
  /** Those that it may have. */
  tags(): Iterable<number>;
}

export interface SearchParts {
  holdings: Holdings;
  /** The service's root, for Retrieve URL. */
  base: string;
}

const LEVELS: readonly Level[] = ['study', 'series', 'instance'];
/** Files that are opened at a time, where the index does not know enough. */
const FILES_AHEAD = 4;

const TABLES = [...STUDY_ATTRIBUTES, ...SERIES_ATTRIBUTES];

function attribute(tag: number, ...values: JsonValue[]): JsonAttribute {
  const vr = dictionaryVr(tag);
  return values.length === 0 ? { vr } : { vr, Value: values };
}

function pathOf(level: Level, { study, series, instance }: Row): string {
  if (level === 'instance') return instancePath(instance!);
  return level === 'series' ? `/studies/${study}/series/${series!.series}` : `/studies/${study}`;
}

/** What the index can restrict by itself, so that most of a large archive is not looked at. */
function restrictionOf({ studies, series, sops, keys }: Query): Restriction {
  const only = (keyword: string) => {
    const of = keys.filter(({ path }) => path.length === 1 && path[0] === tagOf(keyword));
    return of.length === 1 ? of[0]!.values : undefined;
  };
  const patients = only('PatientID');
  const dates = only('StudyDate');
  const exact = patients?.every((value) => /^[\x21-\x29\x2b-\x3e\x40-\x7e]+$/.test(value));
  const [from, to] = (dates?.length === 1 ? dates[0]! : '').replaceAll('.', '').split('-');
  return {
    studies,
    series,
    sops,
    ...(exact && { patients }),
    ...(from !== undefined && (from !== '' || to) && { dates: { from, to: (to ?? from) || '99999999' } }),
  };
}

function ofFile(header: JsonDataSet): Header {
  return {
    get: (tag) => header[jsonTag(tag)],
    tags: () => Object.keys(header).map((key) => Number.parseInt(key, 16)),
  };
}

/** Results of one search, one after another, the same from one search to the next. */
export async function* search(query: Query, parts: SearchParts): AsyncGenerator<JsonDataSet, void> {
  const { holdings, base } = parts;
  const restriction = restrictionOf(query);
  const indexedKeys = query.keys.filter(({ path }) => isIndexed(path));
  const otherKeys = query.keys.filter(({ path }) => !isIndexed(path));
  const keyTags = new Set(indexedKeys.map(({ path }) => path[0]!));
  const returnsMore =
    query.level === 'instance' &&
    (query.include === 'all' ||
      [...query.include].some((tag) => !isIndexed([tag]) && !Object.values<number>(COMPUTED).includes(tag)));

  const standsFor = ({ instance, series, study }: Row): Instance | undefined => {
    if (instance) return instance;
    for (const { id } of series ? [series] : holdings.seriesOf(study)) {
      const first = holdings.firstOf(id);
      if (first) return first;
    }
    return undefined;
  };
  const fileHeader = async (instance: Instance): Promise<JsonDataSet> =>
    headerOf(instance, (path) => `${base}${instancePath(instance)}/bulkdata/${path.join('/')}`);

  /** A row's attributes, when it matches. */
  async function matched(row: Row): Promise<Header | undefined> {
    const { known } = row;
    if (known) {
      const header = indexedHeader(known, keyTags);
      if (!indexedKeys.every((key) => matches(key, header))) return undefined;
      if (otherKeys.length === 0 && !returnsMore) {
        return { get: (tag) => indexedAttribute(known, tag), tags: () => TABLES };
      }
    }
    const instance = standsFor(row);
    if (!instance) return undefined;
    const header = await fileHeader(instance);
    const keys = known ? otherKeys : query.keys;
    if (!keys.every((key) => matches(key, header))) return undefined;
    return ofFile(header);
  }

  /** Modalities of a study; asked for once, results of one study come together. */
  let last: { study: string; modalities: string[] } | undefined;
  async function modalitiesOf(study: string): Promise<string[]> {
    if (last?.study === study) return last.modalities;
    const found = new Set<string>();
    for (const series of holdings.seriesOf(study)) {
      const first = holdings.firstOf(series.id);
      if (!first) continue;
      const modality = series.known
        ? series.known.attributes.Modality?.[0]
        : (await fileHeader(first))['00080060']?.Value?.[0];
      if (typeof modality === 'string' && modality !== '') found.add(modality);
    }
    last = { study, modalities: [...found] };
    return last.modalities;
  }

  async function* studyRows(): AsyncGenerator<Row, void> {
    for (let after: number | undefined; ; await turn()) {
      const { found, next } = holdings.studies(restriction, after);
      for (const { study, known } of found) yield { study, known, series: undefined, instance: undefined };
      if (next === undefined) return;
      after = next;
    }
  }

  async function* seriesRows(): AsyncGenerator<Row, void> {
    for (let after: number | undefined; ; await turn()) {
      const { found, next } = holdings.series(restriction, after);
      for (const series of found) {
        yield { study: series.study, known: series.known, series, instance: undefined };
      }
      if (next === undefined) return;
      after = next;
    }
  }

  async function* instanceRows(): AsyncGenerator<Row, void> {
    for await (const { series } of seriesRows()) {
      for (const held of holdings.heldIn(series!, query.sops)) {
        yield { study: held.study, known: held.known, series, instance: held.instance };
      }
      await turn();
    }
  }

  /** Levels whose attributes a result has: its own, and those above that the address does not name. */
  const shown = LEVELS.slice(0, LEVELS.indexOf(query.level) + 1).filter(
    (level) =>
      level === query.level || (level === 'study' ? query.studies?.length !== 1 : query.series?.length !== 1),
  );

  async function resultOf(row: Row, header: Header): Promise<JsonDataSet> {
    const { study, series, instance } = row;
    const result = new Map<number, JsonAttribute>();
    const copy = (tag: number) => {
      const found = header.get(tag);
      // What is too long for an answer to a search stays with the metadata.
      if (found && found.BulkDataURI === undefined) result.set(tag, found);
      return found !== undefined;
    };
    for (const level of shown) {
      for (const tag of RETURNED[level]) if (!copy(tag)) result.set(tag, attribute(tag));
      for (const tag of RETURNED_IF_KNOWN[level]) copy(tag);
    }
    if (query.include === 'all') {
      for (const tag of header.tags()) if (belongsTo(query.level, tag)) copy(tag);
    } else {
      for (const tag of query.include) if (belongsTo(query.level, tag)) copy(tag);
    }
    const put = (tag: number, ...values: JsonValue[]) => result.set(tag, attribute(tag, ...values));
    put(0x0020000d, study);
    if (shown.includes('study')) {
      const all = holdings.seriesOf(study);
      const counts = all.map(({ id }) => holdings.countOf(id)).filter((count) => count > 0);
      put(COMPUTED.modalitiesInStudy, ...(await modalitiesOf(study)));
      put(COMPUTED.numberOfStudyRelatedSeries, counts.length);
      put(
        COMPUTED.numberOfStudyRelatedInstances,
        counts.reduce((sum, count) => sum + count, 0),
      );
      if (query.include === 'all' || query.include.has(COMPUTED.sopClassesInStudy)) {
        put(COMPUTED.sopClassesInStudy, ...holdings.sopClassesOf(study));
      }
    }
    if (query.level !== 'study') {
      put(0x0020000e, series!.series);
      if (shown.includes('series'))
        put(COMPUTED.numberOfSeriesRelatedInstances, holdings.countOf(series!.id));
    }
    if (instance) {
      put(0x00080018, instance.sop);
      put(COMPUTED.availableTransferSyntaxUid, instance.transferSyntax);
    }
    put(COMPUTED.instanceAvailability, standsFor(row)?.damage === undefined ? 'ONLINE' : 'UNAVAILABLE');
    put(COMPUTED.retrieveUrl, `${base}${pathOf(query.level, row)}`);
    result.set(0x00080005, { vr: 'CS', Value: ['ISO_IR 192'] });
    const sorted = [...result].sort(([a], [b]) => a - b);
    return Object.fromEntries(sorted.map(([tag, value]) => [jsonTag(tag), value]));
  }

  const rows = { study: studyRows, series: seriesRows, instance: instanceRows }[query.level]();
  const opened = readAhead(rows, FILES_AHEAD, async (row) => ({ row, header: await matched(row) }));
  let skip = query.offset;
  for await (const { row, header } of opened) {
    if (header === undefined) continue;
    const wanted = query.modalitiesInStudy;
    if (wanted) {
      const Value = await modalitiesOf(row.study);
      if (!matchesAttribute(wanted, { vr: 'CS', Value })) continue;
    }
    if (skip > 0) skip -= 1;
    else yield await resultOf(row, header);
  }
}
