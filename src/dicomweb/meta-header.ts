const PREAMBLE = 128;
const LONG_VRS = new Set(['OB', 'OW', 'OF', 'SQ', 'UN', 'UT']);

/** What a part 10 file's beginning says it is, for a report about a file that could not be stored. */
export interface DeclaredInstance {
  sopClassUid: string;
  sopInstanceUid: string;
}

/**
 * Reads Media Storage SOP Class and Instance UID (0002,0002/0003) from the beginning of a part 10 file (PS3.10 7.1).
 * @returns undefined when the bytes are no such beginning.
 */
export function declaredInstance(beginning: Buffer): DeclaredInstance | undefined {
  if (beginning.length < PREAMBLE + 4 || beginning.toString('latin1', PREAMBLE, PREAMBLE + 4) !== 'DICM')
    return undefined;
  const found = new Map<number, string>();
  let at = PREAMBLE + 4;
  while (at + 8 <= beginning.length && beginning.readUInt16LE(at) === 0x0002) {
    const long = LONG_VRS.has(beginning.toString('latin1', at + 4, at + 6));
    if (long && at + 12 > beginning.length) break;
    const length = long ? beginning.readUInt32LE(at + 8) : beginning.readUInt16LE(at + 6);
    const value = at + (long ? 12 : 8);
    if (value + length > beginning.length) break;
    found.set(
      beginning.readUInt16LE(at + 2),
      beginning.toString('latin1', value, value + length).replace(/[\0 ]+$/, ''),
    );
    at = value + length;
  }
  const sopClassUid = found.get(0x0002) ?? '';
  const sopInstanceUid = found.get(0x0003) ?? '';
  return isUid(sopClassUid) && isUid(sopInstanceUid) ? { sopClassUid, sopInstanceUid } : undefined;
}

/** True for at most 64 characters of digits in groups separated by dots (PS3.5 9.1; leading zeros are let pass). */
export function isUid(text: string): boolean {
  return text.length <= 64 && /^\d+(\.\d+)*$/.test(text);
}
