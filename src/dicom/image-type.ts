/** Image Type and Frame Type of a derived image: DERIVED\PRIMARY\ and the source's values from the third on. PS3.3 C.7.6.1.1.2 */
export function derivedType(source: Buffer | undefined): Buffer {
  const values = (source?.toString('latin1') ?? '').replace(/[ \0]+$/, '').split('\\');
  // Value 3 is required of MR images (C.8.3.1.1.1); OTHER is its defined term for "none of these".
  const rest = values.slice(2).map((value) => value.trim());
  if (rest.length === 0 || rest[0] === '') rest[0] = 'OTHER';
  return Buffer.from(['DERIVED', 'PRIMARY', ...rest].join('\\'), 'latin1');
}
