/** The pipeline over the dicom folder's own functions and the shared real series; the "model" changes no pixel. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import * as dicom from '../../../src/dicom/index.js';
import { openPipeline } from '../../../src/pipeline/index.js';
import { atEnd, eventually, FakeDestination, temporaryFolder } from './synthetic.js';
import { unchanged } from './unchanged-model.js';

const data = join(process.env.MCNET_DATA ?? '../shared/data', 'dicom');
const skip = existsSync(data) ? false : `no shared data at ${data} (set MCNET_DATA)`;

async function open(t: TestContext) {
  const pacs = new FakeDestination('pacs');
  const pipeline = await openPipeline({
    data: await temporaryFolder(t),
    rules: [{ name: 'MR', when: { Modality: 'MR' }, model: 'none', to: ['pacs'] }],
    complete: { quiet: 20, maxAge: 60_000 },
    dicom,
    models: new Map([['none', unchanged]]),
    destinations: [pacs],
  });
  atEnd(t, () => pipeline.close(500));
  const send = async (file: Buffer) => {
    const incoming = pipeline.intake.beginFile({ source: { protocol: 'file', peer: 'test', address: '' } });
    for (let at = 0; at < file.length; at += 65_536) await incoming.write(file.subarray(at, at + 65_536));
    return incoming.commit();
  };
  return { pipeline, pacs, send };
}

async function filesOf(folder: string): Promise<Buffer[]> {
  const entries = await readdir(join(data, folder), { recursive: true, withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(names.sort().map((name) => readFile(name)));
}

test('a real series: kept as sent, one derived instance for each slice, in the study of the source', {
  skip,
}, async (t) => {
  const { pipeline, pacs, send } = await open(t);
  const files = await filesOf('a02_siemens_prismafit_t1fl2d_sag_35');
  for (const file of files) {
    const { instance } = await send(file);
    assert.ok((await readFile(instance.path)).equals(file));
    assert.equal(instance.state, 'pending', instance.reason);
  }
  pipeline.start();
  await eventually('delivered', () => pipeline.series.list()[0]?.state === 'delivered', 90_000);
  const [view] = pipeline.series.list();
  assert.equal(view?.counts.delivered, files.length);
  assert.equal(new Set(pacs.received).size, files.length);
  const first = pipeline.series.instances(view!.id)[0]!;
  const [derived] = pipeline.archive.derivedFrom(first.id);
  assert.equal(derived?.study, first.study);
  assert.equal((await send(await readFile(derived!.path))).outcome, 'duplicate');
});

test('odd, broken and non-image files: each has an outcome, and the next good series is unharmed', {
  skip,
}, async (t) => {
  const { pipeline, send } = await open(t);
  let kept = 0;
  const codes = new Map<string, number>();
  const files = await filesOf('z_nasty');
  for (const file of files) {
    try {
      const { instance } = await send(file);
      assert.ok((await readFile(instance.path)).equals(file));
      kept += 1;
    } catch (error) {
      assert.ok(error instanceof Error && error.name === 'IntakeError' && 'code' in error, String(error));
      codes.set(String(error.code), (codes.get(String(error.code)) ?? 0) + 1);
    }
  }
  t.diagnostic(`${files.length} files: ${kept} kept, refused: ${JSON.stringify(Object.fromEntries(codes))}`);
  assert.equal(codes.get('io'), undefined, 'an error of ours, not of the file');
  assert.ok(kept > 0 && codes.size > 0);
  for (const file of await filesOf('a12_ge_signa_fsepd_ax_20')) await send(file);
  pipeline.start();
  const good = () => pipeline.series.list({ limit: 1000 }).find(({ counts }) => counts.received === 20);
  await eventually('delivered', () => good()?.state === 'delivered', 90_000);
  const open_ = () => pipeline.series.list({ state: ['receiving', 'complete'], limit: 1000 });
  await eventually('every other series has an end', () => open_().length === 0, 90_000);
  for (const { state, reason } of pipeline.series.list({ limit: 1000 })) {
    if (state === 'failed' || state === 'left-alone') assert.notEqual(reason, '');
  }
});
