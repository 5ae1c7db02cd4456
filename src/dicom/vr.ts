/** Value representations of PS3.5 6.2: header form in explicit VR (7.1.2), byte order unit (7.3), character set (6.1.2.3). */
interface ValueRepresentation {
  /** 32 bit length after two reserved bytes */
  longLength: boolean;
  /** bytes of one binary value, 1 for strings and byte streams */
  unit: 1 | 2 | 4 | 8;
}

const table: Record<string, ValueRepresentation> = {};
for (const vr of ['AE', 'AS', 'CS', 'DA', 'DS', 'DT', 'IS', 'LO', 'LT', 'PN', 'SH', 'ST', 'TM', 'UI']) {
  table[vr] = { longLength: false, unit: 1 };
}
for (const vr of ['UC', 'UR', 'UT', 'OB', 'UN', 'SQ']) table[vr] = { longLength: true, unit: 1 };
for (const vr of ['US', 'SS', 'AT']) table[vr] = { longLength: false, unit: 2 };
for (const vr of ['UL', 'SL', 'FL']) table[vr] = { longLength: false, unit: 4 };
table.FD = { longLength: false, unit: 8 };
table.OW = { longLength: true, unit: 2 };
for (const vr of ['OL', 'OF']) table[vr] = { longLength: true, unit: 4 };
for (const vr of ['OD', 'OV', 'SV', 'UV']) table[vr] = { longLength: true, unit: 8 };

const byCode = new Map<number, string>();
for (const vr of Object.keys(table)) byCode.set((vr.charCodeAt(0) << 8) | vr.charCodeAt(1), vr);

/** The VR with these two characters, or undefined. */
export function vrOfCode(first: number, second: number): string | undefined {
  return byCode.get((first << 8) | second);
}

export function hasLongLength(vr: string): boolean {
  return table[vr]?.longLength ?? true;
}

/** Bytes to swap together between byte orders. */
export function byteOrderUnit(vr: string): 1 | 2 | 4 | 8 {
  return table[vr]?.unit ?? 1;
}

/** May a value of this VR have undefined length? PS3.5 7.1.2 (OB and OW only as encapsulated pixel data) */
export function allowsUndefinedLength(vr: string): boolean {
  return vr === 'SQ' || vr === 'UN' || vr === 'OB' || vr === 'OW';
}

/** VRs whose text is in the Specific Character Set. PS3.5 6.1.2.3 */
export function usesCharacterSet(vr: string): boolean {
  return (
    vr === 'LO' || vr === 'SH' || vr === 'PN' || vr === 'ST' || vr === 'LT' || vr === 'UT' || vr === 'UC'
  );
}

/** Text VRs in which a backslash is a character and not a delimiter. PS3.5 6.2 */
export function isSingleText(vr: string): boolean {
  return vr === 'ST' || vr === 'LT' || vr === 'UT' || vr === 'UR';
}
