/** The server and the command line as processes of their own, as an operator runs them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { blurNetwork, writeModel } from '../../unit/inference/tiny-onnx.js';
import { eventually, type Finished, PEER_ENVIRONMENT, runProgram, startProgram } from './process.js';

export const CLI = fileURLToPath(new URL('../../../src/cli.js', import.meta.url));

/** Runs `mcnet` with arguments to its end. */
export function mcnet(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  return runProgram(process.execPath, [CLI, ...args], { env: { ...PEER_ENVIRONMENT, ...env } });
}

/** A folder of models with one that is small enough to be ready at once: it blurs. */
export async function modelsFolder(folder: string): Promise<string> {
  const models = join(folder, 'models');
  await writeModel(join(models, 'tiny'), blurNetwork());
  return models;
}

export interface McnetServer {
  dicomPort: number;
  /** The page's address. */
  url: string;
  pid: number;
  output(): string;
  /** What of the log has this message. */
  lines(message: string): Record<string, unknown>[];
  kill(signal: NodeJS.Signals): Promise<number | null>;
}

/**
 * `mcnet serve` on free ports; the configuration is YAML without `dimse` and `http`.
 * @param tls YAML of `dimse.tls` and `http.tls`
 */
export async function startMcnet(
  t: TestContext,
  folder: string,
  config: string,
  tls?: { dimse: string; http: string },
): Promise<McnetServer> {
  const file = join(folder, 'mcnet.yaml');
  const secured = (part: 'dimse' | 'http') => (tls ? `, tls: ${tls[part]}` : '');
  const ports = `dimse: { host: 127.0.0.1, port: 0${secured('dimse')} }\nhttp: { host: 127.0.0.1, port: 0${secured('http')} }\n`;
  writeFileSync(file, `data: ${join(folder, 'var')}\n${ports}${config}`);
  const { child, output, exited } = startProgram(t, process.execPath, [CLI, 'serve', '--config', file]);
  const lines = (message: string) =>
    output()
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => msg === message);
  const { dicom, page } = await eventually(
    'the server listens',
    () => {
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}: ${output()}`);
      return lines('listening')[0];
    },
    60_000,
  );
  return {
    dicomPort: Number(String(dicom).split(':').at(-1)),
    url: String(page).replace(/\/$/, ''),
    pid: child.pid!,
    output,
    lines,
    kill(signal) {
      child.kill(signal);
      return exited;
    },
  };
}
