import { keywordOf } from '../dicom/index.js';
import type { JsonDataSet, JsonValue, PersonName } from './json-model.js';

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function toXml(text: string): string {
  // Control characters cannot stand in XML 1.0 at all.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
  const clean = text.replaceAll(/[\x00-\x08\x0b\x0c\x0e-\x1f]/g, '');
  return clean.replaceAll(
    /[&<>"']/g,
    (c) => `&${Object.keys(ENTITIES).find((name) => ENTITIES[name] === c)!};`,
  );
}

function fromXml(text: string): string {
  return text.replaceAll(
    /&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|(\w+));/gi,
    (whole, hex?: string, dec?: string, name?: string) => {
      if (name !== undefined) return ENTITIES[name] ?? whole;
      const code = hex === undefined ? Number(dec) : Number.parseInt(hex, 16);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}

const NAME_PARTS = ['FamilyName', 'GivenName', 'MiddleName', 'NamePrefix', 'NameSuffix'] as const;

function nameGroups(name: PersonName): string {
  return (['Alphabetic', 'Ideographic', 'Phonetic'] as const)
    .flatMap((group) => {
      const text = name[group];
      if (text === undefined) return [];
      const parts = text
        .split('^')
        .map((part, i) => (part === '' ? '' : `<${NAME_PARTS[i]}>${toXml(part)}</${NAME_PARTS[i]}>`))
        .slice(0, NAME_PARTS.length);
      return [`<${group}>${parts.join('')}</${group}>`];
    })
    .join('');
}

function valueElement(vr: string, value: JsonValue, number: number): string {
  if (value === null) return '';
  if (vr === 'PN') return `<PersonName number="${number}">${nameGroups(value as PersonName)}</PersonName>`;
  return typeof value === 'object'
    ? `<Item number="${number}">${attributes(value as JsonDataSet)}</Item>`
    : `<Value number="${number}">${toXml(String(value))}</Value>`;
}

function attributes(dataSet: JsonDataSet): string {
  return Object.entries(dataSet)
    .map(([tag, { vr, Value = [], InlineBinary, BulkDataURI }]) => {
      const keyword = keywordOf(Number.parseInt(tag, 16));
      const named = keyword === undefined ? '' : ` keyword="${toXml(keyword)}"`;
      const values = Value.map((value, index) => valueElement(vr, value, index + 1));
      if (InlineBinary !== undefined) values.push(`<InlineBinary>${InlineBinary}</InlineBinary>`);
      if (BulkDataURI !== undefined) values.push(`<BulkData uri="${toXml(BulkDataURI)}"/>`);
      return `<DicomAttribute tag="${tag}" vr="${vr}"${named}>${values.join('')}</DicomAttribute>`;
    })
    .join('');
}

/** Writes a data set as the Native DICOM Model (PS3.19 A.1), the payload of application/dicom+xml. */
export function toNativeXml(dataSet: JsonDataSet): string {
  return (
    '<?xml version="1.0" encoding="UTF-8"?>' +
    '<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve">' +
    `${attributes(dataSet)}</NativeDicomModel>`
  );
}

interface OpenAttribute {
  into: JsonDataSet;
  tag: string;
  vr: string;
  values: (string | JsonDataSet)[];
}

const MARKUP =
  /<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<(\/?)(?:[\w.-]+:)?([A-Za-z][\w.-]*)((?:\s+[\w:.-]+\s*=\s*(?:"[^"]*"|'[^']*'))*)\s*(\/?)>/g;

function attribute(text: string, name: string): string | undefined {
  const match = new RegExp(`\\s${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)')`).exec(text);
  return match ? fromXml(match[1] ?? match[2] ?? '') : undefined;
}

/**
 * Reads the Native DICOM Model (PS3.19 A.1) as far as a store response needs it: attributes, sequences and text
 * values. Document types and entities of their own are refused, so nothing expands.
 * @returns undefined when the text is no Native DICOM Model.
 */
export function parseNativeXml(xml: string): JsonDataSet | undefined {
  if (/<!(DOCTYPE|ENTITY)/i.test(xml) || !/<(?:[\w.-]+:)?NativeDicomModel[\s>/]/.test(xml)) return undefined;
  const root: JsonDataSet = {};
  const dataSets: JsonDataSet[] = [root];
  const open: OpenAttribute[] = [];
  let valueFrom: number | undefined;
  for (const match of xml.matchAll(MARKUP)) {
    const [whole, closing, name, rest = '', empty] = match;
    if (name === 'DicomAttribute' && closing === '') {
      const entry: OpenAttribute = {
        into: dataSets.at(-1)!,
        tag: (attribute(rest, 'tag') ?? '').toUpperCase(),
        vr: attribute(rest, 'vr') ?? 'UN',
        values: [],
      };
      open.push(entry);
    }
    if (name === 'DicomAttribute' && (closing === '/' || empty === '/')) {
      const entry = open.pop();
      if (!entry) return undefined;
      entry.into[entry.tag] = { vr: entry.vr, Value: entry.values };
    }
    if (name === 'Item' && closing === '') {
      const item: JsonDataSet = {};
      open.at(-1)?.values.push(item);
      if (empty !== '/') dataSets.push(item);
    }
    if (name === 'Item' && closing === '/') {
      if (dataSets.length === 1) return undefined;
      dataSets.pop();
    }
    if (name === 'Value' && closing === '' && empty !== '/') valueFrom = match.index + whole.length;
    if (name === 'Value' && closing === '/' && valueFrom !== undefined) {
      open.at(-1)?.values.push(fromXml(xml.slice(valueFrom, match.index)));
      valueFrom = undefined;
    }
  }
  return root;
}
