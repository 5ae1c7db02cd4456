/** What is corrected on the disk is, byte for byte, what is corrected in memory. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import {
  type Corrected,
  CorrectionError,
  type Corrector,
  contentsOf,
  correctFiles,
  createCorrector,
} from '../../../src/correction/index.js';
import { sharedDataMissing, sharedFiles } from '../dicom/shared-data.js';
import { blurNetwork, modelFolder } from '../inference/tiny-onnx.js';
import { derivation } from './derivation.js';
import { ENHANCED_MR_IMAGE, headSlice, type Synthetic, syntheticPart10 } from './syntheticPart10.js';

async function open(largeBytes: number): Promise<Corrector> {
  const corrector = await createCorrector({
    model: await modelFolder({ after }, blurNetwork()),
    engine: 'cpu',
    engineOptions: { threads: 1 },
    workers: 1,
    largeBytes,
  });
  after(() => corrector.close());
  return corrector;
}

const [inMemory, onDisk] = await Promise.all([open(Number.POSITIVE_INFINITY), open(0)]);

async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'large-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function whole(corrected: Corrected): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of contentsOf(corrected)) pieces.push(piece);
  return Buffer.concat(pieces);
}

const image = (changes: Partial<Synthetic>): Synthetic => {
  const [rows, columns] = [changes.rows ?? 40, changes.columns ?? 48];
  return {
    ...{ rows, columns, bitsAllocated: 16, bitsStored: 12, signed: false, sopClass: ENHANCED_MR_IMAGE },
    frames: Array.from({ length: 9 }, (_, i) => headSlice(rows, columns, { min: 0, max: 255 }, i + 1)),
    ...changes,
  };
};

test('every kind of pixel data: the same file, its stored values on the disk', async (t) => {
  const folder = await temporary(t);
  const cases: [string, string][] = [];
  for (const [name, object] of [
    ['16 bits', image({})],
    ['an odd number of bytes', image({ rows: 65, columns: 67, bitsAllocated: 8, bitsStored: 8 })],
    ['signed', image({ signed: true })],
    [
      'an empty frame',
      image({ frames: [new Float64Array(40 * 48), headSlice(40, 48, { min: 0, max: 255 })] }),
    ],
    ['one frame', image({ frames: [headSlice(40, 48, { min: 0, max: 4095 })] })],
  ] as const) {
    const path = join(folder, `${cases.length}.dcm`);
    await writeFile(path, syntheticPart10(object));
    cases.push([name, path]);
  }
  if (sharedDataMissing() === false) {
    // Implicit, fragmented and big endian; one frame and several; every kind of codec.
    for (const [name, which] of [
      ['a07', /./],
      ['a09', /6_1/],
      ['a14', /MR1_(J2KR|RLE|JLSL|JPLL)/],
      ['a15', /EBE\/.*1\.dcm/],
    ] as const) {
      for (const [file, path] of sharedFiles(name)) if (which.test(file)) cases.push([file, path]);
    }
  }
  for (const [name, path] of cases) {
    const scratch = join(folder, 'scratch');
    const request = { path, derivation, anyway: true };
    const [there, here] = [
      await inMemory.correct({ ...request, scratch }),
      await onDisk.correct({ ...request, scratch }),
    ];
    assert.equal(there.pixels, undefined, name);
    assert.equal(here.pixels?.path, scratch, name);
    assert.ok((await whole(here)).equals(there.file), name);
    const { ms: _there, acknowledge: _used, file: _file, ...figures } = there;
    const { ms: _here, acknowledge: _again, file: _head, pixels: _pixels, ...same } = here;
    assert.deepEqual(same, figures, name);
    // Without a name for the file it stays in memory.
    const held = await onDisk.correct(request);
    assert.ok(held.pixels === undefined && held.file.equals(there.file), name);
  }
  t.diagnostic(`${cases.length} objects`);
});

test('large objects that are no good fail as small ones do, and leave nothing open', async (t) => {
  const folder = await temporary(t);
  const good = syntheticPart10(image({}));
  for (const [name, bytes] of [
    ['truncated in its pixels', good.subarray(0, good.length - 5000)],
    ['truncated in its header', good.subarray(0, 300)],
    ['not DICOM', Buffer.alloc(3_000_000, 7)],
    ['another object', syntheticPart10(image({ sopClass: '1.2.840.10008.5.1.4.1.1.7' }))],
  ] as const) {
    const path = join(folder, 'bad.dcm');
    await writeFile(path, bytes);
    const failure = async (corrector: Corrector) => {
      const error = await corrector.correct({ path, derivation, scratch: join(folder, 'scratch') }).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      assert.ok(error instanceof CorrectionError, name);
      return [error.code, error.permanent, error.dicom];
    };
    assert.deepEqual(await failure(onDisk), await failure(inMemory), name);
  }
  const path = join(folder, 'good.dcm');
  await writeFile(path, good);
  const nowhere = onDisk.correct({ path, derivation, scratch: join(folder, 'no', 'such', 'folder') });
  await assert.rejects(nowhere, { code: 'io', permanent: false });
});

test('mcnet correct writes large files whole and removes what it needed meanwhile', async (t) => {
  const folder = await temporary(t);
  const path = join(folder, 'source.dcm');
  await writeFile(path, syntheticPart10(image({})));
  const outputs: Buffer[] = [];
  for (const [name, corrector] of [
    ['memory', inMemory],
    ['disk', onDisk],
  ] as const) {
    const out = join(folder, name);
    const { results } = await correctFiles({ paths: [path], out, corrector, derivation });
    const [result] = results;
    assert.equal(result?.outcome, 'corrected');
    outputs.push(await readFile((result as { output: string }).output));
    assert.deepEqual(
      (await readdir(out, { recursive: true })).filter((entry) => entry.endsWith('.tmp')),
      [],
    );
  }
  assert.ok(outputs[0]!.equals(outputs[1]!));
  assert.ok(existsSync(path));
});
