/** A worker's way to the gateways: sources in, derived instances or the reason why not out. */
import { createHash, randomUUID } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rename, rm, stat, unlink, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve, sep } from 'node:path';
import { finished, pipeline } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { createSharedMemory, digestOf, digestOfFile, type SharedBytes } from '../archive/index.js';
import { createHttpClient, discard, type HttpRequest } from './http-client.js';
import {
  type CorrectionFailure,
  type CorrectionJob,
  type CorrectionResult,
  EXCHANGE_FOLDER,
  type GatewayPresence,
  RESULT_HEADER,
} from './messages.js';

/** The gateway cannot be reached, or not now: another attempt, or another worker, may succeed. */
export class GatewayAway extends Error {
  override name = 'GatewayAway';
}

/** The source that the job names cannot be had as the job names it. */
export class SourceUnusable extends Error {
  override name = 'SourceUnusable';
}

/** A source, as its bytes or, when it is large, as a file. */
export interface Source {
  of: { bytes: Buffer } | { path: string };
  /** @param read whether nobody looks at its bytes any more: then their memory is used again */
  release(read: boolean): Promise<void>;
}

export interface GatewayClientOptions {
  secret: string;
  /** Data folders of gateways that are mounted on this machine, by the gateways' names. */
  folders: Readonly<Record<string, string>>;
  /** Told when a mounted folder could not be used and the network was. */
  onDetour?(gateway: string, reason: string): void;
}

export interface GatewayClient {
  /** @throws GatewayAway, SourceUnusable */
  source(gateway: GatewayPresence, job: CorrectionJob): Promise<Source>;
  /** Resolves when the gateway has it on disk (true), or does not want it (false). @throws GatewayAway */
  giveBack(
    gateway: GatewayPresence,
    job: CorrectionJob,
    result: Omit<CorrectionResult, 'sha256'>,
    file: Buffer,
  ): Promise<boolean>;
  /** @throws GatewayAway */
  sayFailed(gateway: GatewayPresence, instance: number, failure: CorrectionFailure): Promise<boolean>;
  close(): void;
}

/** Larger sources are worked on as files. */
const IN_MEMORY_BYTES = 64 * 1024 * 1024;
/** Without any progress for so long a request is given up. */
const SILENCE_MS = 30_000;
/** A result is worth these pauses; after them the job goes back, and somebody corrects it again. */
const GIVE_BACK_PAUSES_MS = [100, 500, 2000, 5000, 10_000];

const none = async () => {};

export function createGatewayClient(o: GatewayClientOptions): GatewayClient {
  const http = createHttpClient({ connections: 64, silenceMs: SILENCE_MS, connectMs: 5000 });
  const authorization = `Bearer ${o.secret}`;
  const memory = createSharedMemory();

  async function ask(
    gateway: GatewayPresence,
    path: string,
    options: HttpRequest = {},
  ): Promise<IncomingMessage> {
    let answer: IncomingMessage;
    try {
      answer = await http.ask(`${gateway.url.replace(/\/$/, '')}${path}`, {
        ...options,
        headers: { authorization, ...options.headers },
      });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw new GatewayAway(
        `gateway ${gateway.name} cannot be reached at ${gateway.url}: ${code ?? message}`,
      );
    }
    const { statusCode = 0 } = answer;
    if (statusCode === 401 || statusCode === 403) {
      await discard(answer);
      throw new GatewayAway(
        `gateway ${gateway.name} refuses this worker (${statusCode}): distribution.token must be the same on both`,
      );
    }
    if (statusCode >= 500) {
      await discard(answer);
      throw new GatewayAway(`gateway ${gateway.name} answered ${statusCode}`);
    }
    return answer;
  }

  async function checked(source: Source, job: CorrectionJob): Promise<Source> {
    const { transferSyntax, dataSetOffset } = job;
    const digest =
      'bytes' in source.of
        ? await digestOf(transferSyntax, source.of.bytes.subarray(dataSetOffset))
        : await digestOfFile(source.of.path, transferSyntax, dataSetOffset);
    if (digest === job.digest) return source;
    await source.release(true);
    throw new SourceUnusable('the source is not the object that the job names: its digest differs');
  }

  async function fromFolder(folder: string, job: CorrectionJob): Promise<Source> {
    const root = resolve(folder);
    const path = resolve(root, job.path);
    if (!path.startsWith(root + sep))
      throw new SourceUnusable('the path of the source leads out of its folder');
    try {
      const { size } = await stat(path);
      const of = size > IN_MEMORY_BYTES ? { path } : { bytes: await readFile(path) };
      return await checked({ of, release: none }, job);
    } catch (error) {
      if (error instanceof SourceUnusable) throw error;
      throw new SourceUnusable(`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
    }
  }

  async function fromNetwork(gateway: GatewayPresence, job: CorrectionJob): Promise<Source> {
    const path = `/dicom-web/studies/${job.study}/series/${job.series}/instances/${job.sop}`;
    const answer = await ask(gateway, path, { headers: { accept: 'application/dicom; transfer-syntax=*' } });
    const { statusCode, headers } = answer;
    if (statusCode !== 200) {
      await discard(answer);
      throw new SourceUnusable(`gateway ${gateway.name} does not give the source (${statusCode})`);
    }
    try {
      if (!(Number(headers['content-length']) <= IN_MEMORY_BYTES))
        return await checked(await toFile(answer), job);
      return await checked(await toMemory(answer, memory.take()), job);
    } catch (error) {
      if (error instanceof SourceUnusable) throw error;
      throw new GatewayAway(`gateway ${gateway.name} broke off: ${(error as Error).message}`);
    }
  }

  async function exchange(folder: string, file: Buffer): Promise<string> {
    const name = `${randomUUID()}.dcm`;
    const path = join(folder, EXCHANGE_FOLDER, name);
    try {
      await writeFile(`${path}.tmp`, file);
      await rename(`${path}.tmp`, path);
    } catch (error) {
      await rm(`${path}.tmp`, { force: true }).catch(none);
      throw error;
    }
    return name;
  }

  async function send(
    gateway: GatewayPresence,
    job: CorrectionJob,
    description: string,
    file: Buffer,
    exchanged: string | undefined,
  ): Promise<boolean> {
    const answer = await ask(gateway, `/instances/${job.instance}/derived`, {
      method: 'PUT',
      headers: {
        [RESULT_HEADER]: description,
        'content-type': exchanged === undefined ? 'application/dicom' : 'application/json',
      },
      body: exchanged === undefined ? file : JSON.stringify({ file: exchanged }),
    });
    await discard(answer);
    if (answer.statusCode === 204) return true;
    if (answer.statusCode === 409) return false;
    throw new GatewayAway(`gateway ${gateway.name} did not take the derived instance (${answer.statusCode})`);
  }

  return {
    async source(gateway, job) {
      const folder = o.folders[gateway.name];
      if (folder !== undefined) {
        try {
          return await fromFolder(folder, job);
        } catch (error) {
          o.onDetour?.(gateway.name, (error as Error).message);
        }
      }
      return fromNetwork(gateway, job);
    },
    async giveBack(gateway, job, result, file) {
      const description = JSON.stringify({
        ...result,
        sha256: createHash('sha256').update(file).digest('hex'),
      });
      const folder = o.folders[gateway.name];
      let exchanged: string | undefined;
      if (folder !== undefined) {
        exchanged = await exchange(folder, file).catch((error: Error) => {
          o.onDetour?.(gateway.name, error.message);
          return undefined;
        });
      }
      try {
        for (let attempt = 0; ; attempt += 1) {
          try {
            return await send(gateway, job, description, file, exchanged);
          } catch (error) {
            const next = GIVE_BACK_PAUSES_MS[attempt];
            if (next === undefined) throw error;
            await pause(next);
          }
        }
      } finally {
        // The gateway has taken it away, or will never hear of it.
        if (exchanged !== undefined) {
          await unlink(join(folder!, EXCHANGE_FOLDER, exchanged)).catch(none);
        }
      }
    },
    async sayFailed(gateway, instance, failure) {
      const answer = await ask(gateway, `/instances/${instance}/failure`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...failure, message: failure.message.slice(0, 2000) }),
      });
      await discard(answer);
      return answer.statusCode === 204;
    },
    close: () => http.close(),
  };
}

async function toMemory(body: IncomingMessage, memory: SharedBytes): Promise<Source> {
  body.on('data', (chunk: Buffer) => memory.append(chunk));
  await finished(body);
  return {
    of: { bytes: memory.bytes() },
    async release(read) {
      if (read) memory.release();
    },
  };
}

async function toFile(body: NodeJS.ReadableStream): Promise<Source> {
  const folder = await mkdtemp(join(tmpdir(), 'mcnet-source-'));
  const release = () => rm(folder, { recursive: true, force: true });
  const path = join(folder, 'source.dcm');
  try {
    await pipeline(body, createWriteStream(path, { mode: 0o600 }));
  } catch (error) {
    await release();
    throw error;
  }
  return { of: { path }, release };
}
