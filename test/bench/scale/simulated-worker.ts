/**
 * A worker of the scale benchmark whose engine takes a fixed time for each slice, one at a time, and computes nothing:
 * what is left is the cost of the distribution. It begins at the first message from its parent. Arguments: Redis address,
 * secret, ms a slice, model folder.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { derivationOf } from '../../../src/composition/models.js';
import { loadConfig } from '../../../src/config/index.js';
import type { Corrected, CorrectionRequest } from '../../../src/correction/index.js';
import {
  DataSetWriter,
  derivedUids,
  readHeader,
  TransferSyntax,
  tagOf,
  writeMetaHeader,
} from '../../../src/dicom/index.js';
import { identityOf, startCorrectionWorker } from '../../../src/distribution/index.js';
import { loadModel } from '../../../src/inference/index.js';

const [redisUrl = '', secret = '', sliceMs = '2', modelFolder = ''] = process.argv.slice(2);
const { manifest } = await loadModel(modelFolder);
const config = loadConfig();
const derivation = (deviceUid: string, at: Date) => derivationOf(manifest, config, deviceUid, at);
/** Slices under way, so that the next is here when the engine is free. */
const AHEAD = 16;

/** Until when the engine is busy. */
let busyUntil = 0;
async function engine(): Promise<void> {
  const now = performance.now();
  busyUntil = Math.max(now, busyUntil) + Number(sliceMs);
  // Timers are whole milliseconds: the engine's own time stays exact, only the answers come a little later.
  const wait = busyUntil - now;
  if (wait >= 1) await pause(wait);
}

const zeros = Buffer.alloc(4 * 1024 * 1024);

async function correct(request: CorrectionRequest): Promise<Corrected> {
  if (!('bytes' in request)) throw new Error('the slices of the benchmark are small');
  const source = readHeader(
    Buffer.from(request.bytes.buffer, request.bytes.byteOffset, request.bytes.byteLength),
  );
  await engine();
  const uids = derivedUids(
    { seriesInstanceUid: source.seriesInstanceUid, sopInstanceUid: source.sopInstanceUid },
    request.derivation,
  );
  const pixels = zeros.subarray(0, request.bytes.byteLength - 2048);
  const writer = new DataSetWriter(pixels.length + 2048);
  for (const [keyword, vr, value] of [
    ['ImageType', 'CS', 'DERIVED\\PRIMARY'],
    ['SOPClassUID', 'UI', source.sopClassUid],
    ['SOPInstanceUID', 'UI', uids.sopInstanceUid],
    ['Modality', 'CS', 'MR'],
    ['StudyInstanceUID', 'UI', source.studyInstanceUid],
    ['SeriesInstanceUID', 'UI', uids.seriesInstanceUid],
  ] as const)
    writer.value(tagOf(keyword), vr, Buffer.from(value));
  writer.value(tagOf('PixelData'), 'OW', pixels);
  const described = {
    sopClassUid: source.sopClassUid,
    sopInstanceUid: uids.sopInstanceUid,
    transferSyntaxUid: TransferSyntax.ExplicitVRLittleEndian,
  };
  return {
    file: Buffer.concat([writeMetaHeader(described), writer.finish()]),
    study: source.studyInstanceUid,
    series: uids.seriesInstanceUid,
    sop: uids.sopInstanceUid,
    sopClass: source.sopClassUid,
    transferSyntax: TransferSyntax.ExplicitVRLittleEndian,
    frames: 1,
    rows: 0,
    columns: 0,
    quality: {} as Corrected['quality'],
    flags: [],
    ms: { read: 0, decode: 0, preprocess: 0, queue: 0, inference: 0, postprocess: 0, total: 0 },
    acknowledge() {},
  };
}

process.send?.('ready');
await new Promise((resolve) => process.once('message', resolve));
const worker = startCorrectionWorker({
  redisUrl,
  secret,
  models: [{ identity: identityOf(derivation('', new Date(0))), derivation, correct, concurrency: AHEAD }],
  engine: () => 'simulated',
  folders: JSON.parse(process.env.BENCH_FOLDERS ?? '{}') as Record<string, string>,
  leaseMs: 15_000,
  onEnd({ outcome, reason }) {
    if (outcome !== 'corrected') console.error(`simulated worker: ${outcome}: ${reason ?? ''}`);
  },
});
process.on('SIGTERM', () => void worker.close(1000).then(() => process.exit(0)));
