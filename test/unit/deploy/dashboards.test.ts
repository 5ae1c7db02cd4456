import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { createGatewayMetrics, createMetrics, createWorkerMetrics } from '../../../src/telemetry/index.js';

const deploy = new URL('../../../../deploy/', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, deploy), 'utf8');

interface Dashboard {
  uid: string;
  title: string;
  panels: {
    title: string;
    gridPos: { x: number; y: number; w: number; h: number };
    targets: { expr: string }[];
  }[];
  templating: { list: { query: unknown }[] };
}

/** Every sample name with its labels that server, gateway and worker export, as Prometheus would scrape it. */
async function exported(): Promise<Map<string, Set<string>>> {
  const metrics = createMetrics({
    knownDestinations: () => ['pacs'],
    sources: { queues: () => [{ queue: 'correct', jobs: 1, oldestAgeMs: 1 }] },
  });
  metrics.received({ source: 'x', protocol: 'dimse', outcome: 'stored', bytes: 1 });
  metrics.decoded(1);
  metrics.preprocessed(1);
  metrics.inferred(1);
  metrics.postprocessed(1);
  metrics.sliceCorrected(1);
  metrics.correctionEnded('corrected');
  metrics.seriesDelivered({ destination: 'pacs', turnaroundMs: 1 });
  metrics.delivered({ destination: 'pacs', outcome: 'accepted' });
  metrics.engine({ engine: 'e', provider: 'p', device: 'd', version: 'v' });
  metrics.engineFellBack();
  metrics.model({ name: 'n', version: 'v', sha256: 's' });
  metrics.login('accepted');
  metrics.refused(401);
  metrics.auditing('file', true);
  metrics.configured({ used: true, atMs: 1 });
  createGatewayMetrics(metrics.registry, { outstanding: () => 1, redisUp: () => true, workers: () => 1 });
  const worker = new Registry();
  const sources = { running: () => 1, redisUp: () => true, refused: () => 0, paused: () => false };
  createWorkerMetrics(worker, sources).ended('corrected');
  // The lag of the event loop is known once it has been measured.
  await new Promise((resolve) => setTimeout(resolve, 50));
  const text = (await metrics.exposition()).body + (await worker.metrics());
  const samples = new Map<string, Set<string>>([['up', new Set(['job', 'instance'])]]);
  for (const [, name, labels] of text.matchAll(/^([a-z_][a-z0-9_]*)(?:\{([^}]*)\})? /gim)) {
    const names = samples.get(name!) ?? new Set(['instance', 'job']);
    for (const [, label] of (labels ?? '').matchAll(/([a-z_]\w*)="/g)) names.add(label!);
    samples.set(name!, names);
  }
  return samples;
}

/** What an expression asks of metrics that are not there, or of labels that they do not have. */
function unknownIn(expression: string, samples: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const found: string[] = [];
  const names = [...expression.matchAll(/\b((?:mcnet|process|nodejs|up)(?:_\w+)?)\b(?:\{([^}]*)\})?/g)];
  if (names.length === 0) found.push('no metric');
  const known = new Set<string>();
  for (const [, name, selector] of names) {
    const labels = samples.get(name!);
    if (!labels) {
      found.push(name!);
      continue;
    }
    for (const label of labels) known.add(label);
    for (const [, label] of (selector ?? '').matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g))
      if (!labels.has(label!)) found.push(`${name}{${label}}`);
  }
  for (const [, list] of expression.matchAll(/\b(?:by|on) \(([^)]*)\)/g))
    for (const label of list!.split(',').map((each) => each.trim()))
      if (label !== '' && !known.has(label)) found.push(`by (${label})`);
  return found;
}

for (const name of ['clinical', 'engine']) {
  test(`dashboard ${name}: every panel asks for metrics and labels that the server exports; panels do not overlap`, async () => {
    const samples = await exported();
    const dashboard = JSON.parse(read(`grafana/${name}.json`)) as Dashboard;
    assert.ok(dashboard.panels.length >= 10);
    const taken = new Set<string>();
    for (const { title, targets, gridPos } of dashboard.panels) {
      assert.ok(targets.length > 0, title);
      for (const { expr } of targets) {
        assert.deepEqual(unknownIn(expr, samples), [], `${title}: ${expr}`);
        assert.equal(
          [...expr].filter((c) => c === '(').length,
          [...expr].filter((c) => c === ')').length,
          expr,
        );
      }
      const { x, y, w, h } = gridPos;
      assert.ok(x + w <= 24, title);
      for (let i = x; i < x + w; i++)
        for (let j = y; j < y + h; j++) {
          assert.ok(!taken.has(`${i} ${j}`), `${title} overlaps`);
          taken.add(`${i} ${j}`);
        }
    }
  });
}

test('every alert asks for metrics and labels that the server exports', async () => {
  const samples = await exported();
  const rules = [
    ...read('prometheus/alerts.yaml').matchAll(/alert: (\w+)\n([\s\S]*?)(?=\n {8}(?:for|labels):)/g),
  ];
  assert.ok(rules.length >= 10);
  for (const [, alert, rule] of rules) {
    const expression = rule!.slice(rule!.indexOf('expr:')).replaceAll(/^\s*#.*$/gm, '');
    assert.deepEqual(unknownIn(expression, samples), [], alert);
  }
});

test('the check notices a metric, a label and a grouping that do not exist', () => {
  const samples = new Map([['mcnet_queue_jobs', new Set(['queue', 'instance'])]]);
  assert.deepEqual(unknownIn('sum by (queue) (mcnet_queue_jobs{instance=~".*"})', samples), []);
  assert.deepEqual(unknownIn('sum by (kind) (mcnet_queue_jobs)', samples), ['by (kind)']);
  assert.deepEqual(unknownIn('mcnet_queue_jobs{kind="x"} + mcnet_job', samples), [
    'mcnet_queue_jobs{kind}',
    'mcnet_job',
  ]);
  assert.deepEqual(unknownIn('1', samples), ['no metric']);
});
