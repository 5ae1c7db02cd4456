import { createHash } from 'node:crypto';

/**
 * A UID that is safe as a path name: digits and dots, no empty component, 1 to 64 characters (PS3.5 9.1).
 * Components with a leading zero and roots that nobody registered occur in real objects and pass.
 */
export function isUid(value: string): boolean {
  return value.length <= 64 && /^[0-9]+(?:\.[0-9]+)*$/.test(value);
}

// UUID of the name space in which this product derives UIDs; never change it: derived UIDs would change with it.
const nameSpace = Buffer.from('5e0f6c1c3a0d4b0f9a4e2f6d8c1b7a90', 'hex');

/** UID 2.25.‹UUID v5 of the name as a decimal number› (PS3.5 B.2, RFC 4122 4.3): the same name gives the same UID. */
export function uidFromName(name: string): string {
  const uuid = createHash('sha1').update(nameSpace).update(name, 'utf8').digest().subarray(0, 16);
  uuid[6] = (uuid[6]! & 0x0f) | 0x50;
  uuid[8] = (uuid[8]! & 0x3f) | 0x80;
  return `2.25.${BigInt(`0x${uuid.toString('hex')}`)}`;
}
