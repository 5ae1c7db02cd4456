import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { PEOPLE, type PersonRole } from './principal.js';
import { openPrivateFile } from './private-file.js';

const sessionSchema = z.strictObject({
  /** SHA-256 of what the cookie carries. */
  id: z.string().regex(/^[a-f0-9]{64}$/),
  user: z.string(),
  /** The role that the identity provider gave; a local user's is looked up anew each time. */
  role: z.enum(PEOPLE).optional(),
  createdAt: z.number(),
  seenAt: z.number(),
});
const fileSchema = z.strictObject({ sessions: z.array(sessionSchema) });

export type Session = z.infer<typeof sessionSchema>;

export interface Sessions {
  /** @returns the cookie's value */
  begin(user: string, role?: PersonRole): string;
  /** The session of a cookie, while it lasts. @param watching nobody does anything: it becomes no younger by this */
  find(cookie: string, watching?: boolean): Session | undefined;
  /** @returns whose session ended */
  end(cookie: string): Session | undefined;
  endAllOf(user: string): void;
  /** Writes what is only in memory. */
  close(): void;
}

/** How often the time of the last request is written. */
const WRITE_EVERY_MS = 60_000;
const SESSIONS_OF_A_USER = 20;

const idOf = (cookie: string) => createHash('sha256').update(cookie).digest('hex');

/**
 * Sessions that outlive a restart. The file holds digests: who reads it cannot take over a session.
 * @param times milliseconds: how long a session lasts at all, and without a request
 */
export function openSessions(
  path: string,
  times: { lifetime: number; idle: number },
  now: () => number = Date.now,
): Sessions {
  const file = openPrivateFile(path, fileSchema, { sessions: [] });
  const sessions = new Map(file.read().sessions.map((session) => [session.id, session]));
  let writtenAt = now();

  const lasts = ({ createdAt, seenAt }: Session) =>
    createdAt + times.lifetime > now() && seenAt + times.idle > now();
  const write = () => {
    for (const session of sessions.values()) if (!lasts(session)) sessions.delete(session.id);
    file.write({ sessions: [...sessions.values()] });
    writtenAt = now();
  };

  return {
    begin(user, role) {
      const cookie = randomBytes(32).toString('base64url');
      const id = idOf(cookie);
      const own = [...sessions.values()].filter((session) => session.user === user);
      for (const old of own.sort((a, b) => b.seenAt - a.seenAt).slice(SESSIONS_OF_A_USER - 1))
        sessions.delete(old.id);
      sessions.set(id, { id, user, ...(role && { role }), createdAt: now(), seenAt: now() });
      write();
      return cookie;
    },
    find(cookie, watching = false) {
      const session = sessions.get(idOf(cookie));
      if (!session || !lasts(session)) return undefined;
      if (watching) return session;
      session.seenAt = now();
      if (now() - writtenAt > WRITE_EVERY_MS) write();
      return session;
    },
    end(cookie) {
      const session = sessions.get(idOf(cookie));
      if (!session) return undefined;
      sessions.delete(session.id);
      write();
      return session;
    },
    endAllOf(user) {
      for (const session of sessions.values()) if (session.user === user) sessions.delete(session.id);
      write();
    },
    close: write,
  };
}
