/** The backup without snapshots, by the commands of deploy/operations.md, and its restore. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { storeInstances } from '../../src/dimse/index.js';
import type { SeriesView } from '../../src/series/index.js';
import { type McnetServer, modelsFolder, startMcnet } from './support/mcnet.js';
import { eventually, temporaryFolder } from './support/process.js';
import { newSeries, outgoingOf } from './support/slices.js';

const operations = readFileSync(
  fileURLToPath(new URL('../../../deploy/operations.md', import.meta.url)),
  'utf8',
);

function corrected(server: McnetServer, series: string): Promise<SeriesView> {
  return eventually('it is corrected', async () => {
    const response = await fetch(`${server.url}/api/series/${series}`);
    const view = response.ok ? ((await response.json()) as SeriesView) : undefined;
    return view?.counts.corrected === 3 && view.completedAt !== undefined ? view : undefined;
  });
}

async function sent(server: McnetServer): Promise<string> {
  const { seriesUid, instances } = newSeries(3);
  const target = { host: '127.0.0.1', port: server.dicomPort, callingAeTitle: 'X', calledAeTitle: 'MCNET' };
  for (const { outcome } of await storeInstances(target, instances.map(outgoingOf)))
    assert.equal(outcome, 'accepted');
  await corrected(server, seriesUid);
  return seriesUid;
}

test('the database is copied while the server is stopped, the files while it runs; what is restored is whole', async (t: TestContext) => {
  const folder = temporaryFolder(t, 'backup');
  const config = `models: ${await modelsFolder(folder)}
engine: cpu
rules: [{ name: MR, when: { Modality: MR }, model: tiny, complete: { quiet: 300ms } }]
`;
  const [data, backup] = [join(folder, 'var'), join(folder, 'backup')];
  const copy = /systemctl stop mcnet && (cp .*); systemctl start mcnet/.exec(operations)?.[1];
  const excluded = [...operations.matchAll(/--exclude '?([\w.*]+)'?/g)].map((found) => found[1]!);
  assert.ok(copy && excluded.length === 2, 'operations.md says how');

  const first = await startMcnet(t, folder, config);
  const before = await sent(first);
  assert.equal(await first.kill('SIGTERM'), 0);
  mkdirSync(backup);
  execFileSync('sh', ['-c', copy.replace(/ \/backup\/$/, ` ${backup}/`).replace('/var/lib/mcnet/var', data)]);
  const second = await startMcnet(t, folder, config);
  const after = await sent(second);
  const left = new RegExp(`^(${excluded.join('|').replaceAll('.', '\\.').replaceAll('*', '.*')})$`);
  cpSync(data, backup, { recursive: true, filter: (path) => !left.test(basename(path)) });
  assert.equal(await second.kill('SIGTERM'), 0);

  const restored = temporaryFolder(t, 'restored');
  cpSync(backup, join(restored, 'var'), { recursive: true });
  const third = await startMcnet(t, restored, config);
  assert.deepEqual(third.lines('archive opened')[0]!.damaged, []);
  const view = await corrected(third, before);
  assert.deepEqual([view.counts.received, view.counts.failed], [3, 0]);
  assert.equal((await fetch(`${third.url}/api/series/${after}`)).status, 404, 'it came after the backup');
  assert.equal(await third.kill('SIGTERM'), 0);
});
