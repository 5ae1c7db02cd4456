import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { isPrincipalName, ROLES, type Role } from './principal.js';
import { AccessFileError, openPrivateFile } from './private-file.js';

const tokenSchema = z.strictObject({
  name: z.string().refine(isPrincipalName),
  id: z.string().regex(/^[a-f0-9]{16}$/),
  role: z.enum(ROLES),
  sha256: z.string().regex(/^[a-f0-9]{64}$/),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime().optional(),
});
const fileSchema = z.strictObject({ tokens: z.array(tokenSchema) });

/** What a program shows instead of a password; times are ISO 8601. */
export type Token = z.infer<typeof tokenSchema>;

export interface Tokens {
  list(): Omit<Token, 'sha256'>[];
  /** @returns the token: the only time that it can be seen. @throws AccessFileError */
  add(name: string, role: Role, expiresAt?: Date): string;
  /** @throws AccessFileError when there is no such token */
  remove(name: string): void;
  /** Whose token this is; undefined when nobody's, or expired. */
  verify(token: string): Omit<Token, 'sha256'> | undefined;
}

const TOKEN = /^mcnet_([a-f0-9]{16})_([\w-]{43})$/;

/** Whether a text looks like a token of this server. */
export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

// 256 random bits need no slow hash: nobody can try them all.
const digest = (secret: string) => createHash('sha256').update(secret).digest();

function shown({ sha256: _sha256, ...token }: Token): Omit<Token, 'sha256'> {
  return token;
}

/** The tokens of a file that only its owner can read and that holds no token but its digest. */
export function openTokens(path: string): Tokens {
  const file = openPrivateFile(path, fileSchema, { tokens: [] });
  return {
    list: () => file.read().tokens.map(shown),
    add(name, role, expiresAt) {
      if (!isPrincipalName(name)) {
        throw new AccessFileError(
          `"${name}" is no name for a token; expected 1 to 64 letters, digits, dots, dashes, underscores and @`,
        );
      }
      const { tokens } = file.read();
      if (tokens.some((token) => token.name === name))
        throw new AccessFileError(`${path} has a token "${name}" already`);
      const id = randomBytes(8).toString('hex');
      const secret = randomBytes(32).toString('base64url');
      const token: Token = {
        name,
        id,
        role,
        sha256: digest(secret).toString('hex'),
        createdAt: new Date().toISOString(),
        ...(expiresAt && { expiresAt: expiresAt.toISOString() }),
      };
      file.write({ tokens: [...tokens, token] });
      return `mcnet_${id}_${secret}`;
    },
    remove(name) {
      const { tokens } = file.read();
      const rest = tokens.filter((token) => token.name !== name);
      if (rest.length === tokens.length) throw new AccessFileError(`${path} has no token "${name}"`);
      file.write({ tokens: rest });
    },
    verify(text) {
      const match = TOKEN.exec(text);
      const token = match && file.read().tokens.find(({ id }) => id === match[1]);
      if (!token || !timingSafeEqual(digest(match[2]!), Buffer.from(token.sha256, 'hex'))) return undefined;
      if (token.expiresAt !== undefined && Date.parse(token.expiresAt) <= Date.now()) return undefined;
      return shown(token);
    },
  };
}
