import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import {
  type Corrected,
  CorrectionError,
  type Corrector,
  type CorrectorOptions,
  createCorrector,
} from '../../../src/correction/index.js';
import { decodeFrames, parsePart10, string } from '../../../src/dicom/index.js';
import { type Engine, EngineError } from '../../../src/inference/index.js';
import { blurNetwork, modelFolder, zeroNetwork } from '../inference/tiny-onnx.js';
import { derivation } from './derivation.js';
import { headSlice, MR_IMAGE, type Synthetic, syntheticPart10 } from './syntheticPart10.js';

async function openCorrector(
  t: TestContext,
  onnx: Buffer,
  options: Partial<CorrectorOptions> = {},
): Promise<Corrector> {
  const corrector = await createCorrector({
    model: await modelFolder(t, onnx),
    engine: 'cpu',
    engineOptions: { threads: 2 },
    workers: 2,
    ...options,
  });
  t.after(() => corrector.close());
  return corrector;
}

/** An engine in this thread that answers what a function says. */
function fakeEngine(answer: (input: Float32Array) => Float32Array | Promise<Float32Array>): Engine {
  return {
    capacity: { lanes: 100, batch: 1, pixels: 1e9 },
    load: () => Promise.resolve(),
    run: async (input) => answer(input),
    close: () => Promise.resolve(),
    describe: () => ({ engine: 'cpu', device: '', provider: '', threads: 1, version: '', refused: [] }),
  };
}

const range = (signed: boolean, bits: number) =>
  signed ? { min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 } : { min: 0, max: 2 ** bits - 1 };

function image(changes: Partial<Synthetic> = {}): Synthetic {
  const [rows, columns] = [changes.rows ?? 40, changes.columns ?? 48];
  const [signed, bitsStored] = [changes.signed ?? false, changes.bitsStored ?? 12];
  return {
    rows,
    columns,
    bitsAllocated: 16,
    bitsStored,
    signed,
    frames: [headSlice(rows, columns, range(signed, bitsStored), changes.number)],
    ...changes,
  };
}

async function framesOf(file: Buffer) {
  return decodeFrames(parsePart10(file));
}

test('with a network that answers zero, every stored pixel is the source’s: any matrix, depth, sign and rescale', async (t) => {
  const corrector = await openCorrector(t, zeroNetwork());
  const side = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 64, max: 200 }) },
    fc.constantFrom(64, 255, 256, 511, 1024),
  );
  await fc.assert(
    fc.asyncProperty(
      side,
      side,
      fc.integer({ min: 8, max: 16 }),
      fc.boolean(),
      fc.constantFrom(undefined, { slope: 2.5, intercept: -1024 }, { slope: 0.01, intercept: 7 }),
      fc.constantFrom('MONOCHROME1' as const, 'MONOCHROME2' as const),
      fc.integer({ min: 1, max: 1e6 }),
      async (rows, columns, bitsStored, signed, rescale, photometric, seed) => {
        const bitsAllocated = bitsStored === 8 ? 8 : 16;
        const { min, max } = range(signed, bitsStored);
        // Every value of the range may occur, also where no signal is expected.
        let state = seed;
        const frame = Float64Array.from({ length: rows * columns }, () => {
          state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
          return min + (state % (max - min + 1));
        });
        const source = image({
          rows,
          columns,
          bitsStored,
          bitsAllocated,
          signed,
          photometric,
          frames: [frame],
          ...(rescale === undefined ? {} : { rescale }),
        });
        const { file, quality } = await corrector.correct({ bytes: syntheticPart10(source), derivation });
        const derived = await framesOf(file);
        assert.equal(derived.rows, rows);
        assert.equal(derived.columns, columns);
        assert.equal(derived.bitsStored, bitsStored);
        assert.equal(derived.signed, signed);
        assert.ok(derived.frames[0]!.every((value, i) => value === frame[i]));
        assert.equal(quality.residualEnergy, 0);
      },
    ),
    { numRuns: 25 },
  );
});

test('a residual arrives at the right pixel with the right size, whatever stands between stored values and signal', async (t) => {
  const corrector = await openCorrector(t, blurNetwork());
  const cases: [string, Partial<Synthetic>][] = [
    ['12 bits', {}],
    ['odd and not square', { rows: 67, columns: 101 }],
    ['exact multiple', { rows: 64, columns: 96 }],
    ['8 bits', { bitsAllocated: 8, bitsStored: 8 }],
    ['16 bits', { bitsStored: 16 }],
    ['signed', { signed: true, bitsStored: 16 }],
    ['rescaled with a negative intercept', { rescale: { slope: 2.5, intercept: -1000 } }],
    ['small slope', { rescale: { slope: 0.002, intercept: 0 } }],
    [
      'low is bright',
      { photometric: 'MONOCHROME1', frames: [headSlice(40, 48, range(false, 12)).map((v) => 4095 - v)] },
    ],
  ];
  for (const [name, changes] of cases) {
    await t.test(name, async () => {
      const source = image(changes);
      const { rows, columns } = source;
      const frame = source.frames[0]!;
      const { min, max } = range(source.signed, source.bitsStored);
      const { file, quality } = await corrector.correct({ bytes: syntheticPart10(source), derivation });
      const derived = (await framesOf(file)).frames[0]!;
      let changed = 0;
      for (let r = 1; r < rows - 1; r += 1) {
        for (let c = 1; c < columns - 1; c += 1) {
          const i = r * columns + c;
          let mean = 0;
          for (const dr of [-columns, 0, columns])
            for (const dc of [-1, 0, 1]) mean += frame[i + dr + dc]! / 9;
          const expected = Math.min(max, Math.max(min, mean));
          assert.ok(
            Math.abs(derived[i]! - expected) <= 0.5 + 1e-3 * (max - min) ** 0.5,
            `row ${r} column ${c}: ${derived[i]} for ${expected}`,
          );
          if (derived[i] !== frame[i]) changed += 1;
        }
      }
      assert.ok(changed > (rows * columns) / 4);
      assert.ok(quality.residualEnergy > 0 && quality.sharpnessAfter < quality.sharpnessBefore);
    });
  }
});

test('memory that is used again, of sources and of derived files, keeps slices apart', async (t) => {
  const corrector = await openCorrector(t, blurNetwork());
  const sources = [7, 8, 9, 10].map((number) => syntheticPart10(image({ number })));
  const expected: Buffer[] = [];
  for (const bytes of sources)
    expected.push(Buffer.from((await corrector.correct({ bytes, derivation })).file));
  assert.ok(!expected[0]!.equals(expected[1]!), 'the slices differ');
  const memory = new SharedArrayBuffer(Math.max(...sources.map(({ length }) => length)));
  for (let round = 0; round < 3; round += 1) {
    for (const [i, source] of sources.entries()) {
      const bytes = Buffer.from(memory, 0, source.length);
      bytes.set(source);
      const corrected = await corrector.correct({ bytes, derivation });
      bytes.fill(0xff);
      assert.ok(corrected.file.equals(expected[i]!), `slice ${i + 1}, round ${round + 1}`);
      corrected.acknowledge();
    }
  }
});

test('what is corrected keeps its place in the study and gets the derived identity', async (t) => {
  const corrector = await openCorrector(t, blurNetwork());
  const first = await corrector.correct({ bytes: syntheticPart10(image({ number: 7 })), derivation });
  const again = await corrector.correct({ bytes: syntheticPart10(image({ number: 7 })), derivation });
  assert.ok(first.file.equals(again.file), 'the same input gives the same bytes');
  const { dataSet, transferSyntaxUid } = parsePart10(first.file);
  assert.equal(string(dataSet, 'SOPInstanceUID'), first.sop);
  assert.equal(string(dataSet, 'SeriesInstanceUID'), first.series);
  assert.equal(string(dataSet, 'StudyInstanceUID'), first.study);
  assert.equal(string(dataSet, 'SOPClassUID'), MR_IMAGE);
  assert.equal(transferSyntaxUid, first.transferSyntax);
  for (const part of ['decode', 'preprocess', 'queue', 'inference', 'postprocess'] as const) {
    assert.ok(first.ms[part] >= 0 && first.ms[part] <= first.ms.total, part);
  }
  assert.equal(corrector.describe().model.name, 'tiny');
});

test('frames of one object go through a window, and come back in their order', async (t) => {
  let away = 0;
  let most = 0;
  const engine = fakeEngine(async (input) => {
    away += 1;
    most = Math.max(most, away);
    await new Promise((resolve) => setTimeout(resolve, (input[1234]! * 1000) % 7));
    away -= 1;
    return new Float32Array(input.length);
  });
  const corrector = await openCorrector(t, zeroNetwork(), { engine, window: 4 });
  const frames = Array.from({ length: 33 }, (_, i) => headSlice(40, 48, range(false, 12), i + 1));
  const { file, frames: count } = await corrector.correct({
    bytes: syntheticPart10(image({ frames })),
    derivation,
  });
  assert.equal(count, 33);
  assert.equal(most, 4);
  const derived = await framesOf(file);
  for (const [i, frame] of frames.entries())
    assert.ok(derived.frames[i]!.every((value, at) => value === frame[at]));
});

test('an empty slice passes through without the network', async (t) => {
  let runs = 0;
  const engine = fakeEngine((input) => {
    runs += 1;
    return new Float32Array(input.length).fill(1);
  });
  const corrector = await openCorrector(t, zeroNetwork(), { engine });
  const frames = [new Float64Array(40 * 48)];
  const { file, quality } = await corrector.correct({
    bytes: syntheticPart10(image({ frames })),
    derivation,
  });
  assert.equal(runs, 0);
  assert.equal(quality.changed, 0);
  assert.ok((await framesOf(file)).frames[0]!.every((value) => value === 0));
});

test('pixel padding stays padding', async (t) => {
  const engine = fakeEngine((input) => new Float32Array(input.length).fill(0.1));
  const corrector = await openCorrector(t, zeroNetwork(), { engine });
  const frame = headSlice(40, 48, range(true, 16)).map((value, i) => (i % 48 < 5 ? -2000 : value));
  const source = image({ signed: true, bitsStored: 16, padding: -2000, frames: [frame] });
  const derived = (
    await framesOf((await corrector.correct({ bytes: syntheticPart10(source), derivation })).file)
  ).frames[0]!;
  for (const [i, value] of frame.entries()) {
    if (value === -2000) assert.equal(derived[i], -2000);
    else assert.ok(derived[i]! > value);
  }
});

async function rejection(promise: Promise<Corrected>): Promise<CorrectionError> {
  const error = await promise.then(
    () => assert.fail('it was corrected'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof CorrectionError, String(error));
  return error;
}

test('what cannot be corrected is told apart, and the next one is corrected', async (t) => {
  const corrector = await openCorrector(t, zeroNetwork());
  const good = syntheticPart10(image());
  const cases: [string, Parameters<Corrector['correct']>[0], CorrectionError['code'], boolean, RegExp][] = [
    [
      'truncated',
      { bytes: good.subarray(0, good.length - 1000), derivation },
      'undecodable',
      true,
      /bytes in memory: /,
    ],
    ['not DICOM', { bytes: Buffer.from('hello'.repeat(100)), derivation }, 'undecodable', true, /DICM|DICOM/],
    ['nothing', { bytes: Buffer.alloc(0), derivation }, 'undecodable', true, /DICOM/],
    ['missing', { path: '/nowhere/slice.dcm', derivation }, 'io', true, /\/nowhere\/slice\.dcm.*ENOENT/],
    [
      'secondary capture',
      { bytes: syntheticPart10(image({ sopClass: '1.2.840.10008.5.1.4.1.1.7' })), derivation },
      'not-correctable',
      true,
      /./,
    ],
  ];
  for (const [name, request, code, permanent, message] of cases) {
    await t.test(name, async () => {
      const error = await rejection(corrector.correct(request));
      assert.equal(error.code, code);
      assert.equal(error.permanent, permanent);
      assert.match(error.message, message);
    });
  }
  assert.equal((await corrector.correct({ bytes: good, derivation })).frames, 1);
});

test('an engine that fails is transient; one that answers no numbers never reaches a pixel', async (t) => {
  let mode: 'fail' | 'nan' | 'work' = 'fail';
  const engine = fakeEngine((input) => {
    if (mode === 'fail') throw new EngineError('failed', 'the device is busy');
    return new Float32Array(input.length).fill(mode === 'nan' ? Number.NaN : 0);
  });
  const corrector = await openCorrector(t, zeroNetwork(), { engine });
  const bytes = syntheticPart10(image());
  const failed = await rejection(corrector.correct({ bytes, derivation }));
  assert.equal(failed.code, 'engine');
  assert.equal(failed.permanent, false);
  assert.match(failed.message, /the device is busy/);
  mode = 'nan';
  const nan = await rejection(corrector.correct({ bytes, derivation }));
  assert.equal(nan.code, 'engine');
  assert.match(nan.message, /frame 1 holds values that are no numbers/);
  mode = 'work';
  assert.equal((await corrector.correct({ bytes, derivation })).frames, 1);
});

test('a file that ends or hangs its thread fails by itself; the files beside it are corrected', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'mcnet-correction-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const corrector = await openCorrector(t, zeroNetwork(), {
    workerScript: new URL('./faults.worker.js', import.meta.url),
    hangMs: 1500,
  });
  const names = ['a', 'abort', 'b', 'c', 'throw', 'd', 'hang', 'e', 'f'];
  await Promise.all(
    names.map((name, i) => writeFile(join(folder, name), syntheticPart10(image({ number: i + 1 })))),
  );
  const outcomes = await Promise.allSettled(
    names.map((name) => corrector.correct({ path: join(folder, name), derivation })),
  );
  for (const [i, outcome] of outcomes.entries()) {
    const bad = ['abort', 'throw', 'hang'].includes(names[i]!);
    assert.equal(outcome.status, bad ? 'rejected' : 'fulfilled', names[i]);
    if (outcome.status === 'rejected') {
      assert.ok(outcome.reason instanceof CorrectionError);
      assert.equal(outcome.reason.code, 'undecodable');
      assert.ok(outcome.reason.permanent);
      assert.match(outcome.reason.message, /ended a thread twice/);
    }
  }
  assert.equal((await corrector.correct({ path: join(folder, 'a'), derivation })).frames, 1);
  assert.equal(corrector.waiting, 0);
});

test('threads that do not start are an error, not a wait', async (t) => {
  const workerScript = new URL('./not-there.js', import.meta.url);
  await assert.rejects(
    openCorrector(t, zeroNetwork(), { workerScript }),
    /a correction thread does not start/,
  );
});

test('an aborted request ends at once with its reason; closing ends the rest', async (t) => {
  const engine = fakeEngine(
    () => new Promise<Float32Array>((resolve) => setTimeout(() => resolve(new Float32Array(2304)), 300)),
  );
  const corrector = await openCorrector(t, zeroNetwork(), { engine });
  const bytes = syntheticPart10(image());
  const abort = new AbortController();
  const aborted = assert.rejects(corrector.correct({ bytes, derivation, signal: abort.signal }), /enough/);
  const open = rejection(corrector.correct({ bytes, derivation }));
  setTimeout(() => abort.abort(new Error('enough')), 50);
  await aborted;
  await corrector.close();
  assert.equal((await open).code, 'closed');
  assert.equal((await rejection(corrector.correct({ bytes, derivation }))).code, 'closed');
});
