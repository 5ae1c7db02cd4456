import { openTokens, type Role } from '../access/index.js';
import { ConfigError, parseDuration } from '../config/index.js';
import { accessFile } from './access-file.js';
import { EXIT } from './failure.js';
import { table } from './table.js';

interface Options {
  tokens?: string;
  config?: string;
}

/** `mcnet token add` */
export async function tokenAdd(
  name: string,
  options: Options & { role: Role; expires?: string },
): Promise<number> {
  const ms = options.expires === undefined ? undefined : parseDuration(options.expires);
  if (options.expires !== undefined && (ms === undefined || ms === 0)) {
    throw new ConfigError('the command line', [
      `--expires: "${options.expires}" is no duration such as 365d`,
    ]);
  }
  const expiresAt = ms === undefined ? undefined : new Date(Date.now() + ms);
  console.log(openTokens(accessFile('tokens', options)).add(name, options.role, expiresAt));
  return EXIT.ok;
}

/** `mcnet token rm` */
export async function tokenRemove(name: string, options: Options): Promise<number> {
  openTokens(accessFile('tokens', options)).remove(name);
  console.log(`the token ${name} is refused from now on`);
  return EXIT.ok;
}

/** `mcnet token ls` */
export async function tokenList(options: Options & { json?: boolean }): Promise<number> {
  const tokens = openTokens(accessFile('tokens', options)).list();
  if (options.json) console.log(JSON.stringify(tokens));
  else {
    const rows = tokens.map(({ name, role, createdAt, expiresAt }) => [
      name,
      role,
      createdAt,
      expiresAt ?? 'never',
    ]);
    console.log(tokens.length === 0 ? 'no tokens' : table(['NAME', 'ROLE', 'MADE', 'EXPIRES'], rows));
  }
  return EXIT.ok;
}
