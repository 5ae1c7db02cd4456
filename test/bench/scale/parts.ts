/** The processes of the scale benchmark: one server, or a gateway with its Redis server and workers. */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Ending } from '../../peers/support/process.js';
import { redisServer } from '../../peers/support/redis.js';

export const SECRET = 'a-secret-of-the-benchmark';
const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

export interface RunningPart {
  pid: number;
  stop(): Promise<void>;
}

export interface Front extends RunningPart {
  dicomPort: number;
  /** Instances corrected since it started. */
  corrected(): Promise<number>;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await exited;
  clearTimeout(late);
}

/** Options for the Node of the server or gateway that is measured, such as --cpu-prof. */
const nodeOptions = () => (process.env.BENCH_NODE_OPTIONS ?? '').split(' ').filter((option) => option !== '');

/** The same for workers. */
const workerOptions = () =>
  (process.env.BENCH_WORKER_OPTIONS ?? '').split(' ').filter((option) => option !== '');

function startCommand(
  command: 'serve' | 'gateway' | 'worker',
  config: string,
  message: string,
): Promise<{ child: ChildProcess; line: Record<string, unknown> }> {
  const options = command === 'worker' ? workerOptions() : nodeOptions();
  const child = spawn(
    process.execPath,
    [...options, here('../../../src/cli.js'), command, '--config', config],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`mcnet ${command} ended with code ${code}`)));
    createInterface({ input: child.stdout! }).on('line', (text) => {
      if (!text.startsWith('{')) return;
      const line = JSON.parse(text) as Record<string, unknown>;
      if (line.msg === message) resolve({ child, line });
      else if (line.level === 'error') console.error(text);
    });
  });
}

export interface PartSettings {
  folder: string;
  models: string;
  model: string;
  pacsPort: number | undefined;
}

function settingsOf(o: PartSettings, more: string): string {
  const destinations =
    o.pacsPort === undefined
      ? ''
      : `destinations: { pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${o.pacsPort} } } }\n`;
  const to = o.pacsPort === undefined ? '' : ', to: [pacs]';
  return `models: ${o.models}
dimse: { host: 127.0.0.1, port: 0 }
http: { host: 127.0.0.1, port: 0 }
engine: cpu
peers: [{ aeTitle: BENCH, host: 127.0.0.1 }]
${destinations}rules: [{ name: every MR, when: { Modality: MR }, model: ${o.model}${to}, complete: { quiet: 2s } }]
${more}`;
}

async function startFront(command: 'serve' | 'gateway', o: PartSettings, more: string): Promise<Front> {
  mkdirSync(o.folder, { recursive: true });
  const file = join(o.folder, `${command}.yaml`);
  writeFileSync(file, `data: ${join(o.folder, 'var')}\n${settingsOf(o, more)}`);
  const { child, line } = await startCommand(command, file, 'listening');
  const page = String(line.page);
  return {
    pid: child.pid!,
    dicomPort: Number(String(line.dicom).split(':').at(-1)),
    async corrected() {
      const text = await (await fetch(`${page}metrics`)).text();
      return Number(/^mcnet_corrections_total\{outcome="corrected"\} (\d+)/m.exec(text)?.[1] ?? 0);
    },
    stop: () => stop(child),
  };
}

/** One process that does everything, its engine with so many threads. */
export function startEmbedded(o: PartSettings, threads: number): Promise<Front> {
  return startFront('serve', o, `concurrency: { inferenceThreads: ${threads} }\n`);
}

export interface Distributed {
  front: Front;
  redisPid: number;
  workers: RunningPart[];
  /** Resolves when all of them begin to work, at the same moment. */
  startSimulated(count: number, sliceMs: number, shared: boolean): Promise<void>;
  stop(): Promise<void>;
}

/** A gateway, and workers whose engines have so many threads each. */
export async function startDistributed(
  o: PartSettings,
  workers: number,
  threadsEach: number,
  shared: boolean,
): Promise<Distributed> {
  const endings: (() => unknown)[] = [];
  const ending: Ending = { after: (work) => endings.push(work) };
  const redis = await redisServer(ending);
  const distribution = (more: string) =>
    `queue: ${redis.url}\ndistribution: { token: ${SECRET}, listen: { port: 0 }, ${more} }\n`;
  const front = await startFront('gateway', o, distribution(''));
  const folders = { gateway: join(o.folder, 'var') };
  const running: RunningPart[] = [];
  for (let i = 0; i < workers; i += 1) {
    const file = join(o.folder, `worker${i}.yaml`);
    const mounted = shared ? `folders: ${JSON.stringify(folders)}` : '';
    // Decoding threads as engine threads: together as many as one process of the same total has.
    const threads = `concurrency: { inferenceThreads: ${threadsEach}, workers: ${Math.max(1, threadsEach - 1)} }\n`;
    writeFileSync(
      file,
      `data: ${join(o.folder, 'none')}\n${settingsOf(o, `${distribution(mounted)}${threads}`)}`,
    );
    const { child } = await startCommand('worker', file, 'working');
    running.push({ pid: child.pid!, stop: () => stop(child) });
  }
  return {
    front,
    redisPid: redis.pid(),
    workers: running,
    async startSimulated(count, sliceMs, mounted) {
      const env = { ...process.env, BENCH_FOLDERS: JSON.stringify(mounted ? folders : {}) };
      const children = Array.from({ length: count }, () =>
        fork(here('./simulated-worker.js'), [redis.url, SECRET, String(sliceMs), join(o.models, o.model)], {
          env,
          execArgv: workerOptions(),
        }),
      );
      for (const child of children) running.push({ pid: child.pid!, stop: () => stop(child) });
      await Promise.all(children.map((child) => new Promise((resolve) => child.once('message', resolve))));
      for (const child of children) child.send('begin');
    },
    async stop() {
      await Promise.all(running.map((each) => each.stop()));
      await front.stop();
      for (const end of endings.reverse()) await end();
    },
  };
}
