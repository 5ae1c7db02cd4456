/** The data dictionary of PS3.6 (dcmjs' copy): keyword and VR of a standard tag. */
import dictionary from 'dcmjs/dictionary';

const vrs = new Map<number, string>();
const keywords = new Map<number, string>();
const tags = new Map<string, number>();

// The copy's own codes for attributes whose VR depends on the data set, as PS3.5 A.1 resolves them.
const dependentVr: Record<string, string> = { ox: 'OW', lt: 'OW', up: 'UL', na: 'UN' };
/** VR of the attributes that are US or SS by Pixel Representation (0028,0103). */
export const US_OR_SS = 'xs';

for (const [key, entry] of Object.entries(dictionary)) {
  const match = /^\(([0-9A-F]{4})(?:-60FF|-50FF)?,([0-9A-F]{4})\)$/.exec(key);
  if (match === null) continue;
  const tag = Number.parseInt(`${match[1]}${match[2]}`, 16);
  if (entry.vr !== undefined) vrs.set(tag, dependentVr[entry.vr] ?? entry.vr);
  if (entry.version === 'DICOM' || !tags.has(entry.name)) tags.set(entry.name, tag);
  keywords.set(tag, entry.name);
}

/** Curves (50xx) and overlays (60xx) repeat the attributes of their first group. PS3.5 7.6 */
function repeatingBase(tag: number): number {
  const group = tag >>> 16;
  return (group & 0xff00) === 0x5000 || (group & 0xff00) === 0x6000 ? (tag & 0xff00ffff) >>> 0 : tag;
}

/** 0xGGGGEEEE of a keyword of PS3.6, for instance `tagOf('PatientID')`. Throws RangeError for a keyword that does not exist. */
export function tagOf(keyword: string): number {
  const tag = tags.get(keyword);
  if (tag === undefined) throw new RangeError(`"${keyword}" is no keyword of the DICOM data dictionary`);
  return tag;
}

/** Keyword of a standard tag; undefined for private and unknown ones. */
export function keywordOf(tag: number): string | undefined {
  return keywords.get(tag) ?? keywords.get(repeatingBase(tag));
}

/**
 * VR of a tag as the dictionary has it: a VR of PS3.5 6.2, `US_OR_SS`, or UN for what it does not know.
 * Private creators are LO, group lengths UL (PS3.5 7.8.1, 7.2).
 */
export function dictionaryVr(tag: number): string {
  const known = vrs.get(tag);
  if (known !== undefined) return known;
  const element = tag & 0xffff;
  if (element === 0) return 'UL';
  if (isPrivate(tag)) return element >= 0x10 && element <= 0xff ? 'LO' : 'UN';
  return vrs.get(repeatingBase(tag)) ?? 'UN';
}

export function isPrivate(tag: number): boolean {
  return ((tag >>> 16) & 1) === 1;
}

/** "(0010,0020) PatientID", for messages. */
export function describeTag(tag: number): string {
  const hex = tag.toString(16).padStart(8, '0');
  const keyword = keywordOf(tag);
  return `(${hex.slice(0, 4)},${hex.slice(4)})${keyword === undefined ? '' : ` ${keyword}`}`;
}
