/** The thread of one ONNX Runtime session: `session.run` blocks it, and nothing else. */
import { readFileSync, readlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { getPriority, setPriority } from 'node:os';
import { parentPort, workerData } from 'node:worker_threads';
import { InferenceSession, Tensor } from '../onnxruntime.js';
import type { Precision } from './engine.js';
import { halfForm } from './half.js';
import type { LaneReply, LaneRequest, OnnxLaneOptions } from './lane.js';
import { allFinite, withinHalfRange } from './precision.js';

const options = workerData as OnnxLaneOptions;
const port = parentPort!;

function reply(message: LaneReply, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message.trim() : String(error);
}

/** How far the threads that compute step back behind those that receive, decode and send. */
const NICE = 5;

/**
 * Networks take every core for as long as they are given work: what feeds them, and what answers a sender, must not
 * wait for a turn. Linux keeps the priority of each thread; elsewhere it would be the whole process's.
 */
function stepBack(): void {
  if (process.platform !== 'linux') return;
  try {
    const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
    setPriority(thread, Math.min(19, getPriority(thread) + NICE));
  } catch {
    // Without /proc, or not allowed: the threads compete on equal terms.
  }
}

/** The session for this lane; the network has one input named "input" and an output named "residual". */
async function openSession(precision: Precision): Promise<InferenceSession> {
  const sessionOptions: InferenceSession.SessionOptions = {
    executionProviders: [
      options.provider === 'cuda' || options.provider === 'tensorrt'
        ? { name: options.provider, deviceId: options.deviceId }
        : options.provider,
    ],
    intraOpNumThreads: options.threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    // A pattern is kept for every new shape, and hospitals send many: it costs memory and saves no time here.
    enableMemPattern: false,
    // What fails is thrown and told by the caller; the runtime's own lines on stderr would only repeat it.
    logSeverityLevel: 4,
    extra: {
      session: {
        intra_op: { allow_spinning: options.spin ? '1' : '0' },
        force_spinning_stop: '1',
      },
    },
  };
  // By its path where it can be: the runtime's errors then name the file.
  const session =
    precision === 'float16'
      ? await InferenceSession.create(halfForm(await readFile(options.modelPath)), sessionOptions)
      : await InferenceSession.create(options.modelPath, sessionOptions);
  if (
    session.inputNames.length !== 1 ||
    session.inputNames[0] !== 'input' ||
    !session.outputNames.includes('residual')
  ) {
    throw new Error(
      `${options.modelPath} has inputs [${session.inputNames}] and outputs [${session.outputNames}]; expected "input" and "residual"`,
    );
  }
  return session;
}

function runtimeVersion(): string {
  const path = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
}

try {
  if (options.provider === 'cpu') stepBack();
  const session = await openSession(options.precision ?? 'float32');
  /** For what float16 must not answer; opened when it is first needed. */
  let exact: Promise<InferenceSession> | undefined =
    options.precision === 'float16' ? undefined : Promise.resolve(session);
  async function runExact(input: Tensor, output: Tensor): Promise<void> {
    exact ??= openSession('float32');
    try {
      await (await exact).run({ input }, { residual: output }, { logSeverityLevel: 4 });
    } catch (error) {
      await exact.catch(() => {
        exact = undefined;
      });
      throw error;
    }
  }
  let last = Promise.resolve();
  /** The input of the run before: memory for an answer of the same size. */
  let spare: Float32Array<ArrayBuffer> | undefined;
  port.on('message', (request: LaneRequest) => {
    if (request === 'close') {
      void last
        .then(async () => {
          await session.release();
          const other = await exact?.catch(() => undefined);
          if (other !== undefined && other !== session) await other.release();
        })
        .finally(() => port.close());
      return;
    }
    last = last.then(async () => {
      try {
        const { length } = request.data;
        const answer = spare?.length === length ? spare : new Float32Array(length);
        spare = undefined;
        const dims = [...request.shape];
        const input = new Tensor('float32', request.data, dims);
        const output = new Tensor('float32', answer, dims);
        if (options.precision === 'float16' && withinHalfRange(request.data)) {
          await session.run({ input }, { residual: output }, { logSeverityLevel: 4 });
          if (!allFinite(answer)) await runExact(input, output);
        } else await runExact(input, output);
        spare = request.data as Float32Array<ArrayBuffer>;
        reply({ kind: 'result', id: request.id, data: answer }, [answer.buffer]);
      } catch (error) {
        reply({ kind: 'error', id: request.id, message: messageOf(error) });
      }
    });
  });
  reply({ kind: 'ready', info: { version: runtimeVersion(), provider: `onnxruntime ${options.provider}` } });
} catch (error) {
  reply({ kind: 'unusable', message: messageOf(error) });
}
