import { z } from 'zod';
import { hashPassword, isPasswordHash, passwordProblem, verifyNobody, verifyPassword } from './password.js';
import { isPrincipalName, PEOPLE, type PersonRole } from './principal.js';
import { AccessFileError, openPrivateFile } from './private-file.js';

const userSchema = z.strictObject({
  name: z.string().refine(isPrincipalName),
  role: z.enum(PEOPLE),
  hash: z.string().refine(isPasswordHash),
  createdAt: z.iso.datetime(),
  passwordChangedAt: z.iso.datetime(),
});
const fileSchema = z.strictObject({ users: z.array(userSchema) });

/** A person who logs in here; times are ISO 8601. */
export type User = z.infer<typeof userSchema>;

export interface Users {
  list(): Omit<User, 'hash'>[];
  find(name: string): Omit<User, 'hash'> | undefined;
  /** @throws AccessFileError with a sentence: a known name, a name or password that is not accepted */
  add(name: string, role: PersonRole, password: string): Promise<void>;
  /** @throws AccessFileError */
  setPassword(name: string, password: string): Promise<void>;
  /** @throws AccessFileError when there is no such user */
  remove(name: string): void;
  /** The user, when name and password fit; takes as long when they do not. @throws Busy */
  verify(name: string, password: string): Promise<Omit<User, 'hash'> | undefined>;
}

function shown({ hash: _hash, ...user }: User): Omit<User, 'hash'> {
  return user;
}

/** The users of a file, which only its owner can read and which holds no password but its scrypt hash (RFC 7914). */
export function openUsers(path: string): Users {
  const file = openPrivateFile(path, fileSchema, { users: [] });
  const find = (name: string) =>
    file.read().users.find((user) => user.name.toLowerCase() === name.toLowerCase());
  const known = (name: string): User => {
    const user = find(name);
    if (!user) throw new AccessFileError(`${path} has no user "${name}"`);
    return user;
  };
  const checked = (name: string, password: string) => {
    const problem = passwordProblem(password, name);
    if (problem) throw new AccessFileError(`${problem}; choose another one`);
    return password;
  };

  return {
    list: () => file.read().users.map(shown),
    find(name) {
      const user = find(name);
      return user && shown(user);
    },
    async add(name, role, password) {
      if (!isPrincipalName(name)) {
        throw new AccessFileError(
          `"${name}" is no name for a user; expected 1 to 64 letters, digits, dots, dashes, underscores and @`,
        );
      }
      if (find(name)) throw new AccessFileError(`${path} has a user "${name}" already`);
      const hash = await hashPassword(checked(name, password));
      const now = new Date().toISOString();
      const { users } = file.read();
      file.write({ users: [...users, { name, role, hash, createdAt: now, passwordChangedAt: now }] });
    },
    async setPassword(name, password) {
      const user = known(name);
      const hash = await hashPassword(checked(user.name, password));
      const changed = { ...user, hash, passwordChangedAt: new Date().toISOString() };
      file.write({ users: file.read().users.map((each) => (each.name === user.name ? changed : each)) });
    },
    remove(name) {
      const user = known(name);
      file.write({ users: file.read().users.filter((each) => each.name !== user.name) });
    },
    async verify(name, password) {
      const user = find(name);
      const fits = user ? await verifyPassword(password, user.hash) : await verifyNobody(password);
      return user && fits ? shown(user) : undefined;
    },
  };
}
