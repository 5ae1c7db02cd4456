import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** How a child process ended. */
export interface ChildOutcome {
  readonly code: number | null;
  /** What it wrote to its standard output, when captured. */
  readonly output: string;
}

const running = new Set<ChildProcess>();

/**
 * Runs a compiled script of this program in a process of its own. It is no member of the terminal's process group, so that an
 * interrupt reaches it once, through {@link interruptChildren}; when this process ends, it ends as well.
 *
 * @param script relative to this folder
 */
export async function runScript(
  script: string,
  args: readonly string[],
  capture = false,
): Promise<ChildOutcome> {
  const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
  const child = spawn(
    process.execPath,
    ['--import', new URL('./stop-with-parent.js', import.meta.url).href, file(script), ...args],
    { stdio: ['ignore', capture ? 'pipe' : 'inherit', 'inherit', 'ipc'], detached: true },
  );
  running.add(child);
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      running.delete(child);
      resolve({ code, output });
    });
  });
}

/** Passes an interrupt on. Returns whether there was a child to pass it to. */
export function interruptChildren(): boolean {
  for (const child of running) child.kill('SIGINT');
  return running.size > 0;
}
