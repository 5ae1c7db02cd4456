import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Ending, eventually, startProgram, temporaryFolder } from './process.js';

const CLI = fileURLToPath(new URL('../../../src/cli.js', import.meta.url));

export interface RunningProcess {
  child: ChildProcess;
  pid: number;
  dicomPort: number;
  /** Root of the HTTP side, without a slash at its end. */
  api: string;
  /** The archive's data folder. */
  data: string;
  output(): string;
  get<T>(path: string): Promise<T>;
  exited: Promise<number | null>;
}

/**
 * `mcnet serve` as its own process on free loopback ports; senders from this machine are welcome.
 * @param settings further lines of its configuration, YAML
 * @param options.data folder of the archive; default a temporary one
 */
export async function startServerProcess(
  t: Ending,
  settings: string,
  options: { data?: string; nodeOptions?: readonly string[] } = {},
): Promise<RunningProcess> {
  const folder = temporaryFolder(t, 'server');
  const data = options.data ?? join(folder, 'var');
  const config = join(folder, 'mcnet.yaml');
  const ports = 'dimse: { host: 127.0.0.1, port: 0 }\nhttp: { host: 127.0.0.1, port: 0 }\nengine: cpu\n';
  writeFileSync(config, `data: ${data}\n${ports}${settings}\n`);
  const { child, output, exited } = startProgram(t, process.execPath, [
    ...(options.nodeOptions ?? []),
    CLI,
    'serve',
    '--config',
    config,
  ]);
  const listening = await eventually('the server listens', () => {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}: ${output()}`);
    const line = output()
      .split('\n')
      .find((text) => text.includes('"msg":"listening"'));
    return line === undefined ? undefined : (JSON.parse(line) as { dicom: string; page: string });
  });
  const api = listening.page.replace(/\/$/, '');
  return {
    child,
    pid: child.pid!,
    dicomPort: Number(listening.dicom.split(':').at(-1)),
    api,
    data,
    output,
    exited,
    async get<T>(path: string) {
      const response = await fetch(api + path);
      if (!response.ok) throw new Error(`GET ${path} answered ${response.status}`);
      return (await response.json()) as T;
    },
  };
}
