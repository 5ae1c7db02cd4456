/** Message ids (PS3.7 section 9.1.1.1.1): unique among the operations in progress on an association. */

const LARGEST = 0xffff;

/** The id after `last`, from 1 to 65535 and around again, skipping those in use. Throws RangeError when all are in use. */
export function nextMessageId(last: number, inUse: { has(id: number): boolean; size: number }): number {
  if (inUse.size >= LARGEST) throw new RangeError('all message ids are in use');
  let id = last;
  do id = id >= LARGEST ? 1 : id + 1;
  while (inUse.has(id));
  return id;
}
