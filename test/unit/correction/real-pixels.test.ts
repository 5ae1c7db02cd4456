/** Pixel truth with real objects: with a network that answers zero, every stored pixel equals the source's. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { createCorrector } from '../../../src/correction/index.js';
import { decodeFrames, parsePart10, string } from '../../../src/dicom/index.js';
import { modelFolder, zeroNetwork } from '../inference/tiny-onnx.js';
import { derivation } from './derivation.js';

const data = resolve(process.env.MCNET_DATA ?? '../shared/data', 'dicom');
const folders = existsSync(data)
  ? readdirSync(data)
      .filter((name) => /^a1[1345]_/.test(name))
      .sort()
  : [];

test('every encoding of the shared series keeps every stored pixel', async (t) => {
  if (folders.length === 0) return t.skip(`no shared data at ${data} (set MCNET_DATA)`);
  const corrector = await createCorrector({
    model: await modelFolder(t, zeroNetwork()),
    engine: 'cpu',
    engineOptions: { threads: 2 },
    workers: 2,
  });
  t.after(() => corrector.close());
  const syntaxes = new Set<string>();
  for (const folder of folders) {
    await t.test(folder, async () => {
      const files = readdirSync(join(data, folder), { recursive: true, withFileTypes: true }).flatMap(
        (one) => (one.isFile() ? [join(one.parentPath, one.name)] : []),
      );
      assert.ok(files.length > 0);
      await Promise.all(
        files.map(async (path) => {
          const source = parsePart10(await readFile(path));
          syntaxes.add(source.transferSyntaxUid);
          // A mosaic, or another anatomy, is not corrected by itself; its pixels must come through all the same.
          const { file } = await corrector.correct({ path, derivation, anyway: true });
          const before = await decodeFrames(source);
          const derived = parsePart10(file);
          const after = await decodeFrames(derived);
          assert.deepEqual(after.storedRange, before.storedRange, path);
          assert.equal(after.count, before.count);
          assert.equal(after.rescaleSlope, before.rescaleSlope);
          assert.equal(after.rescaleIntercept, before.rescaleIntercept);
          for (const [i, frame] of before.frames.entries()) {
            assert.ok(
              frame.every((value, at) => value === after.frames[i]![at]),
              `${path}, frame ${i + 1}`,
            );
          }
          assert.notEqual(
            string(derived.dataSet, 'SOPInstanceUID'),
            string(source.dataSet, 'SOPInstanceUID'),
          );
        }),
      );
    });
  }
  assert.ok(syntaxes.size >= 9, `${syntaxes.size} transfer syntaxes: ${[...syntaxes].join(' ')}`);
});
