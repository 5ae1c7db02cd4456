import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';

/** RFC 7914 parameters: 64 MiB and about a quarter of a second for each attempt. */
const LOG_N = 16;
const R = 8;
const P = 2;
const HASH_BYTES = 32;
const PASSWORD_MIN = 12;
const PASSWORD_MAX = 1024;
/** Attempts worked on at a time, and waiting: each takes memory. */
const AT_A_TIME = 2;
const WAITING = 32;

/** Too many passwords are being checked: the attempt was not looked at. */
export class Busy extends Error {
  override name = 'Busy';
}

/** Why a password is not accepted as a new one, undefined when it is. Length is what counts (NIST SP 800-63B 3.1.1). */
export function passwordProblem(password: string, user: string): string | undefined {
  if ([...password].length < PASSWORD_MIN) return `the password is shorter than ${PASSWORD_MIN} characters`;
  if (password.length > PASSWORD_MAX) return `the password is longer than ${PASSWORD_MAX} characters`;
  if (new Set(password).size < 4) return 'the password repeats a few characters';
  if (password.toLowerCase().includes(user.toLowerCase()) && user.length > 3)
    return 'the password contains the name of the user';
  return undefined;
}

let running = 0;
const queue: (() => void)[] = [];

async function derive(password: string, salt: Buffer, length: number, options: ScryptOptions) {
  if (running >= AT_A_TIME) {
    if (queue.length >= WAITING) throw new Busy('too many logins at a time');
    await new Promise<void>((resolve) => queue.push(resolve));
  }
  running += 1;
  try {
    return await new Promise<Buffer>((resolve, reject) => {
      scrypt(password.normalize('NFKC'), salt, length, options, (error, key) =>
        error ? reject(error) : resolve(key),
      );
    });
  } finally {
    running -= 1;
    queue.shift()?.();
  }
}

/** `$scrypt$ln=16,r=8,p=2$salt$hash`, the last two in base64url. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const hash = await derive(password, salt, HASH_BYTES, parameters(LOG_N, R, P));
  return `$scrypt$ln=${LOG_N},r=${R},p=${P}$${salt.toString('base64url')}$${hash.toString('base64url')}`;
}

function parameters(logN: number, r: number, p: number): ScryptOptions {
  return { N: 2 ** logN, r, p, maxmem: 2 * 128 * 2 ** logN * r };
}

const STORED = /^\$scrypt\$ln=(1[0-9]|20),r=(\d{1,2}),p=(\d{1,2})\$([\w-]{16,64})\$([\w-]{32,128})$/;

/** Whether a text is a hash as {@link hashPassword} writes it. */
export function isPasswordHash(stored: string): boolean {
  return STORED.test(stored);
}

/** Whether a password is the one of a hash. @throws Busy */
export async function verifyPassword(password: string, stored: string): Promise<boolean> {
  const match = STORED.exec(stored);
  if (!match || password.length > PASSWORD_MAX) return false;
  const [, logN, r, p, salt, hash] = match;
  const expected = Buffer.from(hash!, 'base64url');
  const options = parameters(Number(logN), Number(r), Number(p));
  const found = await derive(password, Buffer.from(salt!, 'base64url'), expected.length, options);
  return timingSafeEqual(found, expected);
}

/** Takes as long as {@link verifyPassword}: an answer must not tell whether a user is known. */
export async function verifyNobody(password: string): Promise<false> {
  await derive(password.slice(0, PASSWORD_MAX), Buffer.alloc(16), HASH_BYTES, parameters(LOG_N, R, P));
  return false;
}
