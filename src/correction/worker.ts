/**
 * One thread of the correction pool. It reads and decodes an object, hands its frames to the main thread as network
 * inputs, a window of them at a time, adds the residuals that come back, and writes the derived instance.
 */
import { parentPort, workerData } from 'node:worker_threads';
import {
  correctable,
  type DataSet,
  type Derivation,
  DicomError,
  derivedUids,
  type FrameReader,
  itemsOf,
  numbers,
  type StoredPixels,
  string,
  strings,
  TransferSyntax,
} from '../dicom/index.js';
import {
  type Decision,
  decide,
  domainFlags,
  type Flag,
  flagsOf,
  meanQuality,
  type Quality,
  qualityOf,
  type Safeguards,
} from '../inference/index.js';
import {
  applyResidual,
  type NetworkInput,
  type NetworkLayout,
  paddedLayout,
  toNetworkInput,
} from '../inference/preprocess/index.js';
import { type DerivedFrames, derivedFrames } from './derived-frames.js';
import { CorrectionError } from './error.js';
import { keepPadding, signalOf, signalPerStored } from './intensity.js';
import type { FromWorker, ToWorker, WorkerResult, WorkerSettings } from './protocol.js';
import { openSource, type SourceObject } from './source.js';
import { createSpares } from './spares.js';

const settings = workerData as WorkerSettings;
const port = parentPort!;

/** An object under way. */
interface Work {
  id: number;
  derivation: Derivation;
  source: SourceObject;
  reader: FrameReader;
  sopClass: string;
  study: string;
  uids: { seriesInstanceUid: string; sopInstanceUid: string };
  /** Next frame to be sent. */
  next: number;
  /** Frames that are corrected. */
  derived: DerivedFrames;
  finished: number;
  /** Frames at the network: what is needed to add its answer. */
  away: Map<number, { stored: StoredPixels; layout: NetworkLayout; scale: number }>;
  quality: Quality[];
  safeguards: Safeguards | undefined;
  /** Where the image leaves the model's domain. */
  domain: Flag[];
  /** What was decided about each frame, from what the network would have changed. */
  decided: { decision: Decision; severity: number; residualEnergy: number }[];
  /** Direction of the phase encoding (InPlanePhaseEncodingDirection). */
  along: 'ROW' | 'COL' | undefined;
  /** For the derived file. */
  memory: ArrayBuffer | undefined;
  ms: WorkerResult['ms'];
}

const works = new Map<number, Work>();
/** Requests that are being read, so that one which is dropped meanwhile does not come to life afterwards. */
const opening = new Set<number>();

const SPARE_BYTES = 8 * 1024 * 1024;
const spares = createSpares(SPARE_BYTES);

function tell(message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

/** The request is over, whatever became of it. */
function forget(id: number): void {
  const work = works.get(id);
  works.delete(id);
  opening.delete(id);
  work?.source.close();
  work?.derived.close();
}

function reject(id: number, error: unknown): void {
  forget(id);
  if (error instanceof CorrectionError) {
    const { code, permanent, message, dicom } = error;
    tell({ kind: 'rejected', id, code, permanent, message, dicom });
  } else {
    const text = error instanceof Error ? error.message : String(error);
    const dicom = error instanceof DicomError ? error.code : undefined;
    const message = dicom === undefined ? `decoding failed: ${text}` : text;
    tell({ kind: 'rejected', id, code: 'undecodable', permanent: true, message, dicom });
  }
}

async function open(request: Extract<ToWorker, { kind: 'open' }>): Promise<void> {
  const { id } = request;
  const at = performance.now();
  opening.add(id);
  const source = await openSource(request.source, settings.largeBytes, spares);
  const ms = { read: performance.now() - at, decode: 0, preprocess: 0, postprocess: 0 };
  let work: Work | undefined;
  try {
    work = await openWork(request, source, ms);
  } finally {
    if (work === undefined) source.close();
  }
  works.set(id, work);
  // It may have been dropped meanwhile.
  if (opening.delete(id)) advance(work);
  else forget(id);
}

async function openWork(
  { id, derivation, safeguards, anyway, scratch, memory }: Extract<ToWorker, { kind: 'open' }>,
  source: SourceObject,
  ms: WorkerResult['ms'],
): Promise<Work> {
  const at = performance.now();
  const { dataSet } = source;
  const sopClass = string(dataSet, 'SOPClassUID') ?? '';
  const verdict = correctable(dataSet, sopClass);
  if (!verdict.ok && !anyway) throw new CorrectionError('not-correctable', true, verdict.reason);
  const reader = await source.openFrames();
  ms.decode = performance.now() - at;
  return {
    id,
    derivation,
    source,
    reader,
    sopClass,
    study: string(dataSet, 'StudyInstanceUID') ?? '',
    uids: derivedUids(
      {
        seriesInstanceUid: string(dataSet, 'SeriesInstanceUID') ?? '',
        sopInstanceUid: string(dataSet, 'SOPInstanceUID') ?? '',
      },
      derivation,
    ),
    next: 0,
    derived: derivedFrames({ dataSet, image: reader }, scratch, settings.largeBytes, spares),
    finished: 0,
    away: new Map(),
    quality: [],
    safeguards,
    domain: safeguards?.domain === 'check' ? domainFlags(subjectOf(dataSet, reader), settings.intended) : [],
    decided: [],
    along: phaseEncodingOf(dataSet),
    memory,
    ms,
  };
}

function phaseEncodingOf(dataSet: DataSet): 'ROW' | 'COL' | undefined {
  const said = string(dataSet, 'InPlanePhaseEncodingDirection');
  return said === 'ROW' ? 'ROW' : said === 'COL' || said === 'COLUMN' ? 'COL' : undefined;
}

/** What the check of the domain asks about an image; of a multi-frame one, what all frames share. */
function subjectOf(dataSet: DataSet, { rows, columns }: FrameReader) {
  const [shared] = itemsOf(dataSet, 'SharedFunctionalGroupsSequence');
  const plane = shared && itemsOf(shared, 'PlaneOrientationSequence')[0];
  return {
    rows,
    columns,
    orientation: numbers(plane ?? dataSet, 'ImageOrientationPatient'),
    values: (keyword: string) => strings(dataSet, keyword),
  };
}

/** Sends frames until the window is full; writes the derived instance when all are back. */
function advance(work: Work): void {
  const { reader, ms } = work;
  const { rows, columns } = paddedLayout(reader.rows, reader.columns, settings.input.multiple);
  const storedBytes = reader.rows * reader.columns * (reader.bitsAllocated / 8);
  while (work.next < reader.count && work.away.size < settings.window) {
    const frame = work.next++;
    let at = performance.now();
    const stored = reader.frame(frame, spares.take(storedBytes));
    ms.decode += performance.now() - at;
    at = performance.now();
    const input: NetworkInput = toNetworkInput(
      signalOf(stored, reader),
      reader.rows,
      reader.columns,
      settings.input,
      new Float32Array(spares.take(4 * rows * columns), 0, rows * columns),
    );
    ms.preprocess += performance.now() - at;
    if (input.scale === 0) {
      // An empty slice has no motion to correct.
      finish(work, frame, stored, measure(work, stored, stored));
      work.decided[frame] = { decision: { kind: 'correct' }, severity: 0, residualEnergy: 0 };
      continue;
    }
    const { data, ...layout } = input;
    work.away.set(frame, { stored, layout, scale: input.scale });
    tell({ kind: 'frame', id: work.id, frame, data, rows: input.rows, columns: input.columns }, [
      data.buffer,
    ]);
  }
  if (work.finished === reader.count) derive(work);
}

function finish(work: Work, frame: number, pixels: StoredPixels, quality: Quality): void {
  work.derived.put(frame, pixels);
  work.finished += 1;
  work.quality[frame] = quality;
}

function measure(work: Work, before: StoredPixels, after: StoredPixels): Quality {
  const { rows, columns } = work.reader;
  return qualityOf(before, after, rows, columns, { weights: settings.severity, along: work.along });
}

/** Keeps what the network makes of a frame, unless the safeguards want the frame as it was. */
function judge(work: Work, frame: number, before: StoredPixels, after: StoredPixels): void {
  const quality = measure(work, before, after);
  const { severity, residualEnergy } = quality;
  const outOfDomain = work.domain.length > 0;
  const decision: Decision = work.safeguards
    ? decide(work.safeguards, { severity, residualEnergy, outOfDomain })
    : { kind: 'correct' };
  work.decided[frame] = { decision, severity, residualEnergy };
  // The severity stays: it is about the frame, not about what was done.
  if (isUnchanged(decision)) {
    finish(work, frame, before, { ...measure(work, before, before), severity });
    spares.give(after.buffer);
  } else {
    finish(work, frame, after, quality);
    spares.give(before.buffer);
  }
}

function isUnchanged(decision: Decision): boolean {
  return decision.kind === 'skip' || (decision.kind === 'flag' && decision.passThrough);
}

/** Whether all values are numbers: their sum is one only then, and cannot overflow. */
function allFinite(values: Float32Array): boolean {
  let sum = 0;
  for (let i = 0; i < values.length; i += 1) sum += values[i]!;
  return Number.isFinite(sum);
}

function add(work: Work, frame: number, residual: Float32Array): void {
  const sent = work.away.get(frame);
  if (sent === undefined) return;
  work.away.delete(frame);
  const { reader, ms } = work;
  const at = performance.now();
  if (!allFinite(residual)) {
    throw new CorrectionError(
      'engine',
      false,
      `the network's answer for frame ${frame + 1} holds values that are no numbers`,
    );
  }
  const corrected = applyResidual(
    sent.stored,
    reader.rows,
    reader.columns,
    residual,
    sent.layout,
    sent.scale / signalPerStored(reader),
    reader.storedRange,
    spares.take(sent.stored.byteLength),
  );
  spares.give(residual.buffer);
  keepPadding(sent.stored, corrected, reader);
  judge(work, frame, sent.stored, corrected);
  ms.postprocess += performance.now() - at;
  advance(work);
}

function derive(work: Work): void {
  const at = performance.now();
  const flags = work.safeguards ? flagsOf(work.safeguards, work.domain, work.decided) : [];
  const unchanged = work.decided.flatMap(({ decision }, frame) => (isUnchanged(decision) ? [frame] : []));
  const { file: derived, scratchBytes } = work.derived.finish(
    {
      ...work.derivation,
      ...(flags.length > 0 && { flags: flags.map(({ message }) => message) }),
      ...(unchanged.length > 0 && { unchanged }),
    },
    work.memory,
  );
  // A buffer out of Node's pool shares its memory with others and must not be handed over.
  const own = derived.byteOffset === 0 && derived.buffer.byteLength !== Buffer.poolSize;
  const file = own
    ? new Uint8Array(derived.buffer as ArrayBuffer, 0, derived.byteLength)
    : new Uint8Array(derived);
  work.ms.postprocess += performance.now() - at;
  forget(work.id);
  const corrected: WorkerResult = {
    file,
    ...(scratchBytes !== undefined && { scratchBytes }),
    study: work.study,
    series: work.uids.seriesInstanceUid,
    sop: work.uids.sopInstanceUid,
    sopClass: work.sopClass,
    transferSyntax: TransferSyntax.ExplicitVRLittleEndian,
    frames: work.reader.count,
    rows: work.reader.rows,
    columns: work.reader.columns,
    quality: meanQuality(work.quality),
    flags,
    ...(work.reader.count > 1 && { frameQuality: work.quality }),
    ms: work.ms,
  };
  tell({ kind: 'done', id: work.id, corrected }, [file.buffer as ArrayBuffer]);
}

port.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'open':
      open(message).catch((error) => reject(message.id, error));
      break;
    case 'residual': {
      const work = works.get(message.id);
      if (work === undefined) break;
      try {
        add(work, message.frame, message.residual);
      } catch (error) {
        reject(message.id, error);
      }
      break;
    }
    case 'drop':
      forget(message.id);
      break;
    case 'close':
      process.exit(0);
  }
});
tell({ kind: 'ready' });
