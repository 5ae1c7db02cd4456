/** `mcnet` that is killed and started again on the same ports and the same data. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { CLI } from '../../peers/support/mcnet.js';
import { atEnd, type Ending, PEER_ENVIRONMENT } from '../../peers/support/process.js';

export interface Incarnation {
  child: ChildProcess;
  /** Resolves when it receives; rejects when it ends before. */
  listening: Promise<void>;
  /** SIGKILL, and its end. */
  kill(): Promise<void>;
  /** SIGTERM, and its exit code. */
  stop(): Promise<number | null>;
  /** The newest lines of its log. */
  output(): string;
}

/** Starts `mcnet` with arguments; what it says at level error goes to `onError`. */
export function startIncarnation(
  t: Ending,
  args: readonly string[],
  onLine: (line: Record<string, unknown>) => void = () => {},
  command: readonly string[] = [],
): Incarnation {
  const [program, ...rest] = [...command, process.execPath, CLI, ...args] as [string, ...string[]];
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: PEER_ENVIRONMENT });
  const exited = once(child, 'exit');
  const tail: string[] = [];
  let told: () => void;
  const heard = new Promise<void>((resolve) => {
    told = resolve;
  });
  const keep = (line: string) => {
    tail.push(line);
    if (tail.length > 60) tail.shift();
  };
  createInterface({ input: child.stderr! }).on('line', keep);
  createInterface({ input: child.stdout! }).on('line', (line) => {
    keep(line);
    if (!line.startsWith('{')) return;
    const entry = JSON.parse(line) as Record<string, unknown>;
    if (entry.msg === 'listening') told();
    onLine(entry);
  });
  const end = async () => {
    if (child.exitCode === null && child.signalCode === null) await exited;
  };
  const listening = Promise.race([
    heard,
    exited.then(() =>
      Promise.reject(new Error(`mcnet ended with ${child.exitCode ?? child.signalCode}\n${tail.join('\n')}`)),
    ),
  ]);
  listening.catch(() => {});
  const incarnation: Incarnation = {
    child,
    listening,
    async kill() {
      child.kill('SIGKILL');
      await end();
    },
    async stop() {
      child.kill('SIGTERM');
      await end();
      return child.exitCode;
    },
    output: () => tail.join('\n'),
  };
  atEnd(t, () => incarnation.kill());
  return incarnation;
}
