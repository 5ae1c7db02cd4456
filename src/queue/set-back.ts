/**
 * Inside a process time is monotonic; between two processes the wall clock may have been set back. Then what an earlier
 * process wrote as due soon lies as far ahead as the clock went back, and would wait for as long.
 */
import type { Clock, Database } from '../archive/index.js';

const setting = 'clock';

/** Writes down the time, so that the next process can tell that it went back. Belongs to the caller's transaction. */
export function noteClock(db: Database, clock: Clock): void {
  db.run('INSERT OR REPLACE INTO settings VALUES (?, ?)', setting, String(clock.now()));
}

/** How far the clock was set back since `noteClock`, in milliseconds, as far as can be told; 0 when it was not. */
export function clockSetBackMs(db: Database, clock: Clock): number {
  const noted = db.get<{ value: string }>('SELECT value FROM settings WHERE name = ?', setting);
  return noted === undefined ? 0 : Math.max(0, Number(noted.value) - clock.now());
}
