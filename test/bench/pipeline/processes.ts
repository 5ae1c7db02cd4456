/** The three processes of the pipeline benchmark: a scanner, the server, a PACS. */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { findProgram, freePort, PEER_ENVIRONMENT } from '../../peers/support/process.js';
import type { SendOrder, Sent } from './sender.js';

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** Clock ticks in a second of /proc/PID/stat: 100 on every Linux that Node runs on. */
const TICKS = 100;

/** Processor time that a process has used, all its threads, ms. */
export function processorMs(pid: number): number {
  return usedMs(`/proc/${pid}/stat`);
}

/** Processor time of a process' first thread, which in Node runs the event loop, ms. */
export function firstThreadMs(pid: number): number {
  return usedMs(`/proc/${pid}/task/${pid}/stat`);
}

/** Time that a process' first thread was ready to run and had to wait for a processor, ms. */
export function firstThreadWaitedMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'latin1').split(' ')[1]) / 1e6;
}

function usedMs(path: string): number {
  const stat = readFileSync(path, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS;
}

/** Memory of a process as the system counts it, MiB: now, and the most that it ever was. */
export function memoryOf(pid: number): { rss: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const kib = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN);
  return { rss: kib('VmRSS') / 1024, peak: kib('VmHWM') / 1024 };
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await exited;
}

export interface Pacs {
  description: string;
  pid: number;
  port: number;
  /** Files received since the last call; they are removed. */
  take(): number;
  close(): Promise<void>;
}

/** DCMTK's storescp, or our own provider where it is missing. */
export async function startPacs(folder: string): Promise<Pacs> {
  mkdirSync(folder, { recursive: true });
  const take = () => {
    const names = readdirSync(folder);
    for (const name of names) rmSync(join(folder, name));
    return names.length;
  };
  if (findProgram('storescp') !== undefined) {
    const port = await freePort();
    const child = spawn('storescp', ['-aet', 'PACS', '-od', folder, '--unique-filenames', String(port)], {
      env: PEER_ENVIRONMENT,
      stdio: 'ignore',
    });
    return {
      description: "DCMTK's storescp",
      pid: child.pid!,
      port,
      take,
      close: () => stop(child, 'SIGKILL'),
    };
  }
  const child = fork(here('./receiver.js'), [folder]);
  const { port } = await new Promise<{ port: number }>((resolve) => child.once('message', resolve));
  const description = 'our own receiver (DCMTK is not installed)';
  return { description, pid: child.pid!, port, take, close: () => stop(child, 'SIGKILL') };
}

export interface Scanner {
  pid: number;
  send(order: SendOrder): Promise<Sent>;
  close(): Promise<void>;
}

/** Our own storage user. */
export function startScanner(): Scanner {
  const child = fork(here('./sender.js'));
  let last: Promise<unknown> = Promise.resolve();
  const sendNow = (order: SendOrder) =>
    new Promise<Sent>((resolve, reject) => {
      const ended = () => reject(new Error('the sender ended'));
      child.once('exit', ended);
      child.once('message', (sent: Sent) => {
        child.off('exit', ended);
        if (sent.problem === '') resolve(sent);
        else reject(new Error(`the server refused a slice: ${sent.problem}`));
      });
      child.send(order);
    });
  return {
    pid: child.pid!,
    send(order) {
      const mine = last.then(() => sendNow(order));
      last = mine.catch(() => {});
      return mine;
    },
    close: () => stop(child, 'SIGTERM'),
  };
}

/** Lines of the server's log that the benchmark reads. */
export interface LogLine {
  msg: string;
  level: string;
  series?: string;
  sop?: string;
  latencyMs?: number;
  turnaroundMs?: number;
  reason?: string;
}

export interface Server {
  pid: number;
  dicomPort: number;
  onLine(listener: (line: LogLine) => void): void;
  close(): Promise<void>;
}

/** `mcnet serve` with a rule that takes every MR series; `BENCH_NODE_OPTIONS` are options for its Node. */
export async function startServerProcess(o: {
  folder: string;
  model: { folder: string; name: string };
  pacsPort: number;
}): Promise<Server> {
  const config = join(o.folder, 'mcnet.yaml');
  writeFileSync(
    config,
    `data: ${join(o.folder, 'var')}
models: ${o.model.folder}
dimse: { host: 127.0.0.1, port: 0 }
http: { host: 127.0.0.1, port: 0 }
peers: [{ aeTitle: BENCH, host: 127.0.0.1 }]
destinations:
  pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${o.pacsPort} } }
rules:
  - { name: every MR, when: { Modality: MR }, model: ${o.model.name}, to: [pacs], complete: { quiet: 2s } }
log: { level: debug }
`,
  );
  const nodeOptions = (process.env.BENCH_NODE_OPTIONS ?? '').split(' ').filter((option) => option !== '');
  const child = spawn(
    process.execPath,
    [...nodeOptions, here('../../../src/cli.js'), 'serve', '--config', config],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let listener: (line: LogLine) => void = () => {};
  const dicomPort = await new Promise<number>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the server ended with code ${code}`)));
    createInterface({ input: child.stdout }).on('line', (text) => {
      if (!text.startsWith('{')) {
        if (process.env.BENCH_NODE_OPTIONS) console.error(text);
        return;
      }
      const line = JSON.parse(text) as LogLine & { dicom?: string };
      if (line.msg === 'listening') resolve(Number(line.dicom!.split(':').at(-1)));
      if (line.level === 'error' || line.level === 'warn') console.error(text);
      listener(line);
    });
  });
  return {
    pid: child.pid!,
    dicomPort,
    onLine(next) {
      listener = next;
    },
    close: () => stop(child, 'SIGTERM'),
  };
}
