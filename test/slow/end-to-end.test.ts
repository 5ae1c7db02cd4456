import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { sharedSeries } from '../peers/support/data.js';
import { attribute, dcmToJson, errorsOf, type JsonDataSet } from '../peers/support/inspect.js';
import { startOrthanc } from '../peers/support/orthanc.js';
import {
  eventually,
  freePort,
  needPrograms,
  runProgram,
  startProgram,
  temporaryFolder,
} from '../peers/support/process.js';
import { startStorescp } from '../peers/support/storescp.js';

const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));

interface SeriesAnswer {
  series: string;
  state: string;
  reason: string;
}

/** What DCMTK calls an error; its warnings about a file's encoding are many. */
const problemsIn = (output: string) =>
  output
    .split('\n')
    .filter((line) => /^[EF]:/.test(line))
    .slice(0, 20)
    .join('\n');

const SAME = {
  '0020000D': 'Study Instance UID',
  '00200052': 'Frame of Reference UID',
  '00200032': 'Image Position (Patient)',
  '00200037': 'Image Orientation (Patient)',
  '00280030': 'Pixel Spacing',
  '00180050': 'Slice Thickness',
  '00280010': 'Rows',
  '00280011': 'Columns',
  '00280101': 'Bits Stored',
  '00280103': 'Pixel Representation',
  '00281052': 'Rescale Intercept',
  '00281053': 'Rescale Slope',
  '00100020': 'Patient ID',
  '00200013': 'Instance Number',
};

test('real series travel from DCMTK through the server to DCMTK and Orthanc, over DIMSE and STOW-RS', async (t) => {
  if (!needPrograms(t, 'storescu', 'dcmsend', 'storescp', 'dcm2json', 'dciodvfy', 'Orthanc')) return;
  const names = ['a01', 'a02', 'a03', 'a12'];
  const sources = new Map<string, string[]>();
  for (const name of names) {
    const files = sharedSeries(t, name);
    if (files === undefined) return;
    sources.set(name, files);
  }
  const [dicomPort, httpPort] = [await freePort(), await freePort()];
  const storescp = await startStorescp(t);
  const orthanc = await startOrthanc(t, {
    DicomModalities: { mcnet: { AET: 'MCNET', Host: '127.0.0.1', Port: dicomPort } },
  });
  const folder = temporaryFolder(t, 'end-to-end');
  const config = join(folder, 'mcnet.yaml');
  writeFileSync(
    config,
    `data: ${join(folder, 'var')}
dimse: { host: 127.0.0.1, port: ${dicomPort} }
http: { host: 127.0.0.1, port: ${httpPort} }
engine: cpu
peers:
  - { aeTitle: SCANNER, host: 127.0.0.1 }
  - { aeTitle: ORTHANC, host: 127.0.0.1 }
destinations:
  storescp: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${storescp.port} } }
  orthanc: { dimse: { aeTitle: ${orthanc.aeTitle}, host: 127.0.0.1, port: ${orthanc.dicomPort}, commitment: required } }
  dicomweb: { dicomweb: { url: "${orthanc.dicomWebUrl}" } }
rules:
  - name: every MR
    when: { Modality: MR }
    model: mcnet
    to: [storescp, orthanc, dicomweb]
    complete: { quiet: 1s, maxAge: 10m }
`,
  );
  const server = startProgram(t, process.execPath, [CLI, 'serve', '--config', config]);
  const api = `http://127.0.0.1:${httpPort}`;
  await eventually(`the server is ready\n${server.output()}`, async () => {
    assert.equal(server.child.exitCode, null, server.output());
    return (await fetch(`${api}/readyz`).catch(() => undefined))?.ok || undefined;
  });

  for (const [name, files] of sources) {
    const target = ['-aet', 'SCANNER', '-aec', 'MCNET', '127.0.0.1', String(dicomPort)];
    const sent =
      name === 'a01'
        ? await runProgram('dcmsend', [...target, ...files])
        : await runProgram('storescu', [...target, ...files]);
    assert.equal(sent.code, 0, `${name}: ${problemsIn(sent.stdout + sent.stderr)}`);
  }
  const unknown = await runProgram('echoscu', [
    '-aet',
    'STRANGER',
    '-aec',
    'MCNET',
    '127.0.0.1',
    String(dicomPort),
  ]);
  assert.notEqual(unknown.code, 0);
  assert.match(unknown.stderr, /Calling AE Title Not Recognized/);

  await eventually(
    'every series is delivered',
    async () => {
      const list = (await (await fetch(`${api}/api/series`)).json()) as { series: SeriesAnswer[] };
      for (const { state, reason } of list.series) assert.notEqual(state, 'failed', reason);
      return list.series.length === names.length && list.series.every(({ state }) => state === 'delivered')
        ? true
        : undefined;
    },
    100_000,
  );

  const total = [...sources.values()].flat().length;
  const sourceOf = new Map<string, { path: string; json: JsonDataSet }>();
  for (const path of [...sources.values()].flat()) {
    const json = await dcmToJson(path);
    sourceOf.set(String(attribute(json, '00080018')[0]), { path, json });
  }
  assert.equal(storescp.files().length, total, 'DCMTK has one derived slice for every source slice');
  const seen = new Set<string>();
  const derivedSeries = new Map<string, Set<string>>();
  const stored = new Map<string, string>();
  for (const path of storescp.files()) {
    const json = await dcmToJson(path);
    const reference = attribute(json, '00082112')[0] as JsonDataSet;
    const uid = String(attribute(reference, '00081155')[0]);
    const source = sourceOf.get(uid);
    assert.ok(source, `${path} names a source that was never sent: ${uid}`);
    seen.add(uid);
    for (const [tag, name] of Object.entries(SAME)) {
      assert.deepEqual(
        attribute(json, tag),
        attribute(source.json, tag),
        `${name} of the slice derived from ${uid}`,
      );
    }
    assert.equal(attribute(json, '00080008')[0], 'DERIVED');
    assert.notEqual(attribute(json, '00080018')[0], uid);
    const from = String(attribute(source.json, '0020000E')[0]);
    derivedSeries.set(
      from,
      (derivedSeries.get(from) ?? new Set()).add(String(attribute(json, '0020000E')[0])),
    );
    const known = await errorsOf(source.path);
    for (const error of await errorsOf(path))
      assert.ok(known.has(error), `${uid}: new dciodvfy error: ${error}`);
    stored.set(String(attribute(json, '00080018')[0]), path);
  }
  assert.equal(seen.size, total);
  for (const [from, to] of derivedSeries) assert.equal(to.size, 1, `series ${from} has one derived series`);

  const instances = await orthanc.get<string[]>('/instances');
  assert.equal(instances.length, total, 'Orthanc has every derived slice once, whichever way it came');
  mkdirSync(join(folder, 'orthanc'));
  for (const id of instances.slice(0, 5)) {
    const path = join(folder, 'orthanc', `${id}.dcm`);
    writeFileSync(path, await orthanc.file(id));
    const json = await dcmToJson(path);
    const twin = stored.get(String(attribute(json, '00080018')[0]));
    assert.ok(twin, 'Orthanc holds the instances that DCMTK holds');
    assert.deepEqual(json['7FE00010'], (await dcmToJson(twin))['7FE00010']);
  }
  const metrics = await (await fetch(`${api}/metrics`)).text();
  assert.match(metrics, /^mcnet_instances_received_total\{[^}]*outcome="stored"[^}]*\} \d+/m);
  assert.match(metrics, /^mcnet_series_turnaround_seconds_count/m);

  server.child.kill('SIGTERM');
  assert.equal(await server.exited, 0, server.output());
  for (const { json } of sourceOf.values()) {
    const name = (attribute(json, '00100010')[0] as { Alphabetic?: string } | undefined)?.Alphabetic;
    if (name !== undefined && name.length > 4)
      assert.ok(!server.output().includes(name), 'a patient name in the log');
  }
});
