import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadModel, ModelError } from '../../../src/inference/index.js';
import { modelFolder, zeroNetwork } from './tiny-onnx.js';

test('a model folder is loaded, and what the model card says besides is kept', async (t) => {
  const folder = await modelFolder(t, zeroNetwork(), { trainedOn: { subjects: 45 } });
  const model = await loadModel(folder);
  assert.equal(model.manifest.name, 'tiny');
  assert.equal(model.onnxPath, join(folder, 'model.onnx'));
  assert.deepEqual(model.manifest.trainedOn, { subjects: 45 });
});

test('every broken model folder is refused with its path and what to do', async (t) => {
  const cases: [string, ModelError['code'], RegExp, (folder: string) => Promise<void>][] = [
    ['no folder', 'missing', /no model in .*ENOENT.*configuration/, (f) => rm(f, { recursive: true })],
    ['not JSON', 'invalid', /model\.json is not JSON/, (f) => writeFile(join(f, 'model.json'), '{ "name": ')],
    ['no weights', 'missing', /model\.onnx cannot be read/, (f) => rm(join(f, 'model.onnx'))],
    [
      'other weights',
      'digest',
      /not the released ones.*SHA-256/,
      (f) => writeFile(join(f, 'model.onnx'), 'x'),
    ],
  ];
  for (const [name, code, message, damage] of cases) {
    await t.test(name, async (t) => {
      const folder = await modelFolder(t, zeroNetwork());
      await damage(folder);
      await assert.rejects(loadModel(folder), (error: ModelError) => {
        assert.ok(error instanceof ModelError);
        assert.equal(error.code, code);
        assert.match(error.message, message);
        assert.ok(error.message.includes(folder), 'names the folder');
        return true;
      });
    });
  }
});

test('an invalid manifest names the key', async (t) => {
  for (const [changes, key] of [
    [{ input: { channels: 3, multiple: 16, layout: 'NCHW' } }, 'input.channels'],
    [{ normalisation: { kind: 'percentile', percentile: 120 } }, 'normalisation.percentile'],
    [{ name: '../escape' }, 'name'],
    [{ sha256: 'ABC' }, 'sha256'],
    [{ output: 'image' }, 'output'],
  ] as const) {
    const folder = await modelFolder(t, zeroNetwork(), changes);
    await assert.rejects(
      loadModel(folder),
      (error: ModelError) => error.code === 'invalid' && error.message.includes(`${key}: `),
    );
  }
});
