import assert from 'node:assert/strict';
import { test } from 'node:test';
import { watchEngines } from '../../../src/composition/engine-watch.js';
import type { EngineDescription } from '../../../src/inference/index.js';
import { createLogger, createMetrics } from '../../../src/telemetry/index.js';

const described = (engine: 'webgpu' | 'cpu'): EngineDescription => ({
  engine,
  device: 'a device',
  provider: engine,
  threads: 0,
  version: '1',
  refused: [],
});

test('an engine that is lost changes readiness, metric and log until it is back; one that fell back stays changed', async () => {
  const lines: { level: string; msg: string; reason?: string }[] = [];
  const metrics = createMetrics({ processMetrics: false });
  const stream = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const watch = watchEngines(metrics, createLogger({ level: 'info', stream }));
  const up = async () => /^mcnet_engine_up (\d)$/m.exec((await metrics.exposition()).body)?.[1] ?? 'absent';
  assert.equal(await up(), 'absent', 'where no engine runs nothing is said of it');
  metrics.engine(described('webgpu'));
  assert.equal(await up(), '1');
  assert.deepEqual(watch.check(described('webgpu')), {
    name: 'engine',
    ok: true,
    message: 'webgpu on a device',
  });

  watch.lost('mcnet', 'the device fell off the bus');
  watch.lost('other', 'the device fell off the bus');
  assert.equal(await up(), '0');
  const lost = watch.check(described('webgpu'));
  assert.equal(lost.ok, false);
  assert.match(lost.message, /no engine runs mcnet, its instances wait: the device fell off the bus/);
  watch.restored('mcnet', described('webgpu'));
  assert.equal(await up(), '0', 'the other is still away');
  watch.restored('other', described('webgpu'));
  assert.equal(await up(), '1');
  assert.ok(watch.check(described('webgpu')).ok);
  assert.deepEqual(
    lines.map(({ level }) => level),
    ['error', 'error', 'warn', 'warn'],
  );

  watch.changed(described('cpu'), 'the device fell off the bus again');
  assert.equal(watch.check(described('cpu')).ok, false);
  assert.match((await metrics.exposition()).body, /^mcnet_engine_fallbacks_total 1$/m);
  assert.equal(await up(), '1');
  assert.equal(watch.check(undefined).message, 'the device fell off the bus again');
});
