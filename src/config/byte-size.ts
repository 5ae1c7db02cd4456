const BYTES: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
};
const SIZE = /^(\d+(?:\.\d+)?)\s*([kmgt]i?b|b|)$/i;

/**
 * Reads an amount of bytes as people write it: `512MB` (powers of ten), `4GiB` (powers of two), `65536`.
 * @returns whole bytes, or undefined when the text is not an amount.
 */
export function parseByteSize(text: string): number | undefined {
  const match = SIZE.exec(text.trim());
  if (!match) return undefined;
  return Math.round(Number(match[1]) * BYTES[match[2]!.toUpperCase()]!);
}
