/** Memory goes from slice to slice: what is in it must not. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createCorrector } from '../../../src/correction/index.js';
import { blurNetwork, modelFolder } from '../inference/tiny-onnx.js';
import { derivation } from './derivation.js';
import { headSlice, syntheticPart10 } from './syntheticPart10.js';

test('slices of many sizes and depths, in any order and at the same time, are corrected as each by itself', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'memory-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const open = async () => {
    const corrector = await createCorrector({
      model: await modelFolder(t, blurNetwork()),
      engine: 'cpu',
      engineOptions: { threads: 2 },
      workers: 2,
    });
    t.after(() => corrector.close());
    return corrector;
  };
  const safeguards = { skipBelow: 0.5, maxResidual: 1, domain: 'off', onFlag: 'deliver' } as const;
  const requests: { path: string; derivation: typeof derivation; safeguards?: typeof safeguards }[] = [];
  for (const [i, [rows, columns, bits]] of [
    [64, 64, 12],
    [65, 63, 8],
    [64, 60, 16],
    [96, 64, 12],
    [62, 64, 12],
    [128, 128, 12],
    [64, 64, 8],
  ].entries()) {
    const frames = [0, 1].map((n) =>
      headSlice(rows!, columns!, { min: 0, max: 2 ** bits! - 1 }, 1 + i * 2 + n),
    );
    for (const few of [frames.slice(0, 1), frames]) {
      const path = join(folder, `${i}-${few.length}.dcm`);
      const bitsAllocated = bits === 8 ? 8 : 16;
      await writeFile(
        path,
        syntheticPart10({
          ...{ rows: rows!, columns: columns!, bitsAllocated, bitsStored: bits!, signed: false, frames: few },
        }),
      );
      requests.push({ path, derivation }, { path, derivation, safeguards });
    }
  }
  const fresh = await open();
  const expected: { file: Buffer; quality: object }[] = [];
  for (const request of requests) {
    const { file, quality } = await fresh.correct(request);
    expected.push({ file: Buffer.from(file), quality });
  }
  const used = await open();
  for (let round = 0; round < 8; round += 1) {
    await Promise.all(
      requests.map(async (_, i) => {
        const which = (i * 5 + round * 3) % requests.length;
        const corrected = await used.correct(requests[which]!);
        assert.ok(corrected.file.equals(expected[which]!.file), requests[which]!.path);
        assert.deepEqual(corrected.quality, expected[which]!.quality);
        if (i % 3 < 2) corrected.acknowledge();
      }),
    );
  }
});
