import { openUsers, type PersonRole } from '../access/index.js';
import { accessFile } from './access-file.js';
import { EXIT } from './failure.js';
import { newPassword } from './password.js';
import { table } from './table.js';

interface Options {
  users?: string;
  config?: string;
}

/** `mcnet user add` */
export async function userAdd(name: string, options: Options & { role: PersonRole }): Promise<number> {
  const file = accessFile('users', options);
  await openUsers(file).add(name, options.role, await newPassword());
  console.log(`${name} may log in as ${options.role}`);
  return EXIT.ok;
}

/** `mcnet user passwd` */
export async function userPasswd(name: string, options: Options): Promise<number> {
  await openUsers(accessFile('users', options)).setPassword(name, await newPassword());
  console.log(`${name} has another password`);
  return EXIT.ok;
}

/** `mcnet user rm` */
export async function userRemove(name: string, options: Options): Promise<number> {
  openUsers(accessFile('users', options)).remove(name);
  console.log(`${name} may log in no more`);
  return EXIT.ok;
}

/** `mcnet user ls` */
export async function userList(options: Options & { json?: boolean }): Promise<number> {
  const users = openUsers(accessFile('users', options)).list();
  if (options.json) console.log(JSON.stringify(users));
  else {
    const rows = users.map(({ name, role, passwordChangedAt }) => [name, role, passwordChangedAt]);
    console.log(users.length === 0 ? 'no users' : table(['NAME', 'ROLE', 'PASSWORD OF'], rows));
  }
  return EXIT.ok;
}
