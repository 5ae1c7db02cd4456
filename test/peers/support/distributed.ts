/** Gateways and workers as processes of their own, over one Redis server. */
import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CLI } from './mcnet.js';
import { type Ending, eventually, startProgram } from './process.js';

export const TOKEN = 'a-secret-of-the-tests';

export interface Part {
  child: ChildProcess;
  pid: number;
  output(): string;
  /** What of the log has this message. */
  lines(message: string): Record<string, unknown>[];
  exited: Promise<number | null>;
}

function startPart(t: Ending, command: 'gateway' | 'worker' | 'serve', file: string): Part {
  const { child, output, exited } = startProgram(t, process.execPath, [CLI, command, '--config', file]);
  const lines = (message: string) =>
    output()
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => msg === message);
  return { child, pid: child.pid!, output, lines, exited };
}

/** Waits for a line of the log. */
function line(part: Part, message: string): Promise<Record<string, unknown>> {
  return eventually(
    `"${message}"`,
    () => {
      if (part.child.exitCode !== null)
        throw new Error(`ended with ${part.child.exitCode}: ${part.output()}`);
      return part.lines(message)[0];
    },
    60_000,
  );
}

export interface Gateway extends Part {
  dicomPort: number;
  /** Root of its page and API, without a slash at the end. */
  url: string;
  data: string;
  get<T>(path: string): Promise<T>;
}

export interface PartOptions {
  redisUrl: string;
  /** Where its configuration goes, and its data if it is a gateway: a folder of its own. */
  folder: string;
  /** Further lines of its configuration; those of `rules` and `models` must be the same everywhere. */
  settings: string;
  /** YAML of `distribution`, besides the token. */
  distribution?: string;
}

/** `mcnet gateway` (or `serve`) on free loopback ports. */
export async function startGateway(
  t: Ending,
  o: PartOptions & {
    command?: 'gateway' | 'serve';
    ports?: { dicom: number; http: number; workers: number };
  },
): Promise<Gateway> {
  const ports = o.ports ?? { dicom: 0, http: 0, workers: 0 };
  const file = join(o.folder, 'gateway.yaml');
  const data = join(o.folder, 'var');
  writeFileSync(
    file,
    `data: ${data}
dimse: { host: 127.0.0.1, port: ${ports.dicom} }
http: { host: 127.0.0.1, port: ${ports.http} }
queue: ${o.redisUrl}
distribution: { token: ${TOKEN}, listen: { host: 127.0.0.1, port: ${ports.workers} }, ${o.distribution ?? ''} }
${o.settings}
`,
  );
  const part = startPart(t, o.command ?? 'gateway', file);
  const { dicom, page } = await line(part, 'listening');
  const url = String(page).replace(/\/$/, '');
  return {
    ...part,
    dicomPort: Number(String(dicom).split(':').at(-1)),
    url,
    data,
    async get<T>(path: string) {
      const response = await fetch(url + path);
      return (await response.json()) as T;
    },
  };
}

export interface WorkerPart extends Part {
  /** Root of its health and metrics, without a slash at the end. */
  url: string;
}

/** `mcnet worker`, its health on a free loopback port. */
export async function startWorkerPart(t: Ending, o: PartOptions & { name: string }): Promise<WorkerPart> {
  const file = join(o.folder, `${o.name}.yaml`);
  writeFileSync(
    file,
    `data: ${join(o.folder, o.name)}
http: { host: 127.0.0.1, port: 0 }
queue: ${o.redisUrl}
engine: cpu
distribution: { token: ${TOKEN}, ${o.distribution ?? ''} }
${o.settings}
`,
  );
  const part = startPart(t, 'worker', file);
  const { health } = await line(part, 'working');
  return { ...part, url: String(health).replace(/\/$/, '') };
}
