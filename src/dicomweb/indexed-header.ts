import {
  INSTANCE_ATTRIBUTES,
  REQUEST_ATTRIBUTES,
  SERIES_ATTRIBUTES,
  STUDY_ATTRIBUTES,
} from '../archive/index.js';
import { tagOf } from '../dicom/index.js';
import { jsonAttributeOfText, jsonTag } from './dicom-json.js';
import type { Known } from './holdings.js';
import type { JsonAttribute, JsonDataSet } from './json-model.js';

const KEYWORDS = new Map<number, string>(
  [...STUDY_ATTRIBUTES, ...SERIES_ATTRIBUTES, ...INSTANCE_ATTRIBUTES].map((keyword) => [
    tagOf(keyword),
    keyword,
  ]),
);
const REQUESTS = tagOf('RequestAttributesSequence');
const REQUEST_TAGS = new Map<number, string>(REQUEST_ATTRIBUTES.map((keyword) => [tagOf(keyword), keyword]));

/** Whether the index can answer for what stands at a path of tags, of any object. */
export function isIndexed([first, ...rest]: readonly number[]): boolean {
  if (first === REQUESTS) return rest.length === 0 || (rest.length === 1 && REQUEST_TAGS.has(rest[0]!));
  return rest.length === 0 && KEYWORDS.has(first!);
}

/** An attribute of the index; undefined when the object has none, or the index does not keep it. */
export function indexedAttribute({ attributes, requests }: Known, tag: number): JsonAttribute | undefined {
  if (tag === REQUESTS) {
    if (requests.length === 0) return undefined;
    return {
      vr: 'SQ',
      Value: requests.map((item) =>
        Object.fromEntries(
          [...REQUEST_TAGS].flatMap(([of, keyword]) =>
            item[keyword] === undefined ? [] : [[jsonTag(of), jsonAttributeOfText(of, item[keyword])]],
          ),
        ),
      ),
    };
  }
  const keyword = KEYWORDS.get(tag);
  const texts = keyword === undefined ? undefined : attributes[keyword];
  return texts && jsonAttributeOfText(tag, texts);
}

/** What the index knows of some attributes. */
export function indexedHeader(known: Known, tags: Iterable<number>): JsonDataSet {
  const header: JsonDataSet = {};
  for (const tag of tags) {
    const found = indexedAttribute(known, tag);
    if (found) header[jsonTag(tag)] = found;
  }
  return header;
}
