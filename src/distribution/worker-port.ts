/**
 * Where a gateway serves its workers: WADO-RS for the sources (instances, a
 * single part), and the way back for what was derived or why not. Every
 * request needs the shared secret; nothing is listed, only what a job names can be had.
 */
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, open, read } from 'node:fs';
import { mkdir, rm, stat, unlink } from 'node:fs/promises';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { finished, pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import type { Instance } from '../archive/index.js';
import { createSpares, type Spares } from '../correction/index.js';
import type { Dispatcher, Verdict } from './dispatcher.js';
import {
  correctionFailure,
  correctionResult,
  EXCHANGE_FOLDER,
  exchangedFile,
  RESULT_HEADER,
} from './messages.js';
import { isBearerOf } from './secret.js';

export interface WorkerPortOptions {
  secret: string;
  dispatcher: Pick<Dispatcher, 'returned' | 'failed'>;
  /** The instance under these UIDs whose file is whole: of its versions the one that counts. */
  find(study: string, series: string, sop: string): Instance | undefined;
  /** The gateway's data folder. */
  data: string;
  /** Bytes of the largest derived instance. */
  largest: number;
  onError?(error: unknown): void;
}

const opened = promisify(open);
const readInto = promisify(read);

/** Bytes of a body of JSON. */
const JSON_BYTES = 64 * 1024;

class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

async function bodyOf(request: IncomingMessage, largest: number, spares: Spares): Promise<Buffer> {
  const declared = Number(request.headers['content-length'] ?? Number.NaN);
  if (!(declared <= largest)) throw new Refused(413, `a body of ${declared} bytes is not taken`);
  const body = Buffer.from(spares.take(declared), 0, declared);
  let filled = 0;
  request.on('data', (chunk: Buffer) => {
    filled += chunk.copy(body, filled);
  });
  await finished(request, { writable: false });
  if (filled !== declared) throw new Refused(400, `${filled} of ${declared} bytes came`);
  return body;
}

/** A file that should have so many bytes: one more is read when it has grown, fewer when it is shorter. */
async function wholeFile(path: string, bytes: number, spares: Spares): Promise<Buffer> {
  const fd = await opened(path, 'r');
  try {
    const file = Buffer.from(spares.take(bytes + 1), 0, bytes + 1);
    let filled = 0;
    while (filled < file.length) {
      const { bytesRead } = await readInto(fd, file, filled, file.length - filled, filled);
      filled += bytesRead;
      if (bytesRead === 0 || filled === bytes) break;
    }
    return file.subarray(0, filled);
  } finally {
    closeSync(fd);
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refused(400, 'the description is not JSON');
  }
}

/** Memory kept for the files of the slices to come. */
const SPARE_BYTES = 32 * 1024 * 1024;
/** Larger files are streamed. */
const AT_ONCE_BYTES = 4 * 1024 * 1024;
const INSTANCE = /^\/dicom-web\/studies\/([0-9.]{1,64})\/series\/([0-9.]{1,64})\/instances\/([0-9.]{1,64})$/;

const STATUS: Record<Verdict, number> = { kept: 204, unwanted: 409, later: 503 };

/** The requests of workers: GET /dicom-web/…, PUT /instances/{id}/derived, POST /instances/{id}/failure. */
export function createWorkerPort(o: WorkerPortOptions): RequestListener {
  const spares = createSpares(SPARE_BYTES);

  /** Retrieve Instance as a single part, as stored (PS3.18 10.4). */
  async function source(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, study, series, sop] = INSTANCE.exec(request.url ?? '') ?? [];
    if (study === undefined || series === undefined || sop === undefined) {
      throw new Refused(404, 'there is nothing at this address');
    }
    if (request.method !== 'GET') throw new Refused(405, 'GET is expected');
    if (!/(^|,)\s*(application\/dicom|\*\/\*)/.test(request.headers.accept ?? '*/*')) {
      throw new Refused(406, 'only application/dicom, a single part, as stored, is had here');
    }
    const instance = o.find(study, series, sop);
    if (instance === undefined) throw new Refused(404, `no instance ${sop} is held here`);
    const headers = {
      'Content-Type': `application/dicom; transfer-syntax=${instance.transferSyntax}`,
      'Content-Length': instance.bytes,
    };
    if (instance.bytes > AT_ONCE_BYTES) {
      response.writeHead(200, headers);
      await pipeline(createReadStream(instance.path, { end: instance.bytes - 1 }), response);
      return;
    }
    const file = await wholeFile(instance.path, instance.bytes, spares);
    if (file.length !== instance.bytes) throw new Refused(500, `the file of ${sop} has changed its size`);
    response.writeHead(200, headers).end(file, () => {
      if (response.writableFinished) spares.give(file.buffer);
    });
  }

  async function derived(request: IncomingMessage, instance: number): Promise<Verdict> {
    const header = request.headers[RESULT_HEADER];
    const result = correctionResult.safeParse(jsonOf(typeof header === 'string' ? header : ''));
    if (!result.success) throw new Refused(400, `${RESULT_HEADER} does not describe a derived instance`);
    let file: Buffer;
    let exchanged: string | undefined;
    if (request.headers['content-type'] === 'application/json') {
      const named = exchangedFile.safeParse(jsonOf((await bodyOf(request, JSON_BYTES, spares)).toString()));
      if (!named.success) throw new Refused(400, 'the body does not name a file of the exchange folder');
      exchanged = join(o.data, EXCHANGE_FOLDER, named.data.file);
      file = await exchangedBytes(exchanged).catch((error: unknown) => {
        if (error instanceof Refused) throw error;
        throw new Refused(422, `${named.data.file} is not in the exchange folder of this gateway`);
      });
    } else {
      file = await bodyOf(request, o.largest, spares);
    }
    if (createHash('sha256').update(file).digest('hex') !== result.data.sha256) {
      throw new Refused(422, 'the file is not the one that was described: its SHA-256 differs');
    }
    const verdict = await o.dispatcher.returned(instance, result.data, file);
    // Whoever kept it has it on disk; of one that was not kept nobody says that it is done with.
    if (verdict === 'kept') spares.give(file.buffer);
    // The worker removes it, too: whoever comes first.
    if (exchanged !== undefined && verdict !== 'later') await unlink(exchanged).catch(() => {});
    return verdict;
  }

  async function exchangedBytes(path: string): Promise<Buffer> {
    const { size } = await stat(path);
    if (size > o.largest) throw new Refused(413, `a file of ${size} bytes is not taken`);
    return wholeFile(path, size, spares);
  }

  async function failure(request: IncomingMessage, instance: number): Promise<Verdict> {
    const parsed = correctionFailure.safeParse(
      jsonOf((await bodyOf(request, JSON_BYTES, spares)).toString()),
    );
    if (!parsed.success) throw new Refused(400, 'the body does not say why the correction failed');
    return o.dispatcher.failed(instance, parsed.data);
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      if (request.url?.startsWith('/dicom-web/')) return await source(request, response);
      const match = /^\/instances\/(\d{1,15})\/(derived|failure)$/.exec(request.url ?? '');
      if (match === null) throw new Refused(404, 'there is nothing at this address');
      const instance = Number(match[1]);
      let verdict: Verdict;
      if (match[2] === 'derived' && request.method === 'PUT') verdict = await derived(request, instance);
      else if (match[2] === 'failure' && request.method === 'POST')
        verdict = await failure(request, instance);
      else throw new Refused(405, 'PUT …/derived or POST …/failure is expected');
      response.writeHead(STATUS[verdict]).end();
    } catch (error) {
      if (!(error instanceof Refused)) o.onError?.(error);
      if (response.headersSent) return void response.destroy();
      const refused =
        error instanceof Refused ? error : new Refused(500, 'the gateway failed; its log says why');
      response.writeHead(refused.status, { 'Content-Type': 'application/json', Connection: 'close' });
      response.end(JSON.stringify({ error: refused.message }));
    }
  }

  return (request, response) => {
    if (!isBearerOf(o.secret, request.headers.authorization)) {
      response.writeHead(401, { 'WWW-Authenticate': 'Bearer', Connection: 'close' }).end();
      return;
    }
    void answer(request, response);
  };
}

/** Makes the exchange folder anew: what lies there was handed over to a process that is gone. */
export async function emptyExchange(data: string): Promise<void> {
  const folder = join(data, EXCHANGE_FOLDER);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
}
