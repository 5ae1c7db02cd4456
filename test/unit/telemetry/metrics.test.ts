import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics } from '../../../src/telemetry/index.js';

async function lines(metrics: ReturnType<typeof createMetrics>): Promise<string[]> {
  return (await metrics.exposition()).body.split('\n');
}

test('every metric has help, type and a name by the conventions', async () => {
  const metrics = createMetrics({ processMetrics: false });
  const names = (await metrics.registry.getMetricsAsJSON()).map((metric) => metric.name);
  for (const name of [
    'mcnet_instances_received_total',
    'mcnet_received_bytes_total',
    'mcnet_queue_jobs',
    'mcnet_queue_oldest_job_age_seconds',
    'mcnet_decode_duration_seconds',
    'mcnet_inference_duration_seconds',
    'mcnet_slice_latency_seconds',
    'mcnet_series_turnaround_seconds',
    'mcnet_deliveries_total',
    'mcnet_archive_bytes',
    'mcnet_engine_info',
    'mcnet_model_info',
  ]) {
    assert.ok(names.includes(name), name);
  }
  for (const metric of await metrics.registry.getMetricsAsJSON()) {
    assert.match(metric.name, /^mcnet_[a-z_]+$/);
    assert.equal(metric.name.endsWith('_total'), String(metric.type) === 'counter', metric.name);
    assert.notEqual(metric.help, '');
  }
});

test('received instances are counted by source, protocol and outcome; unknown sources share one label', async () => {
  const metrics = createMetrics({ processMetrics: false, knownSources: () => ['PACS', '*'] });
  metrics.received({ source: 'PACS', protocol: 'dimse', outcome: 'stored', bytes: 1000 });
  metrics.received({ source: 'PACS', protocol: 'dimse', outcome: 'rejected', bytes: 500 });
  for (const source of ['EVIL1', 'EVIL2', '*']) {
    metrics.received({ source, protocol: 'dimse', outcome: 'stored', bytes: 10 });
  }
  const text = await lines(metrics);
  assert.ok(
    text.includes('mcnet_instances_received_total{source="PACS",protocol="dimse",outcome="stored"} 1'),
  );
  assert.ok(
    text.includes('mcnet_instances_received_total{source="PACS",protocol="dimse",outcome="rejected"} 1'),
  );
  assert.ok(
    text.includes('mcnet_instances_received_total{source="other",protocol="dimse",outcome="stored"} 3'),
  );
  assert.ok(text.includes('mcnet_received_bytes_total{source="PACS",protocol="dimse"} 1000'));
});

test('durations are given in milliseconds and leave as seconds', async () => {
  const metrics = createMetrics({ processMetrics: false, knownDestinations: () => ['pacs'] });
  metrics.sliceCorrected(40);
  metrics.inferred(120, 4);
  metrics.seriesDelivered({ destination: 'pacs', turnaroundMs: 7000 });
  metrics.delivered({ destination: 'pacs', outcome: 'accepted', instances: 170 });
  const text = await lines(metrics);
  assert.ok(text.includes('mcnet_slice_latency_seconds_sum 0.04'));
  assert.ok(text.includes('mcnet_slice_latency_seconds_bucket{le="0.025"} 0'));
  assert.ok(text.includes('mcnet_slice_latency_seconds_bucket{le="0.05"} 1'));
  assert.ok(text.includes('mcnet_inference_batch_slices_bucket{le="4"} 1'));
  assert.ok(text.includes('mcnet_series_turnaround_seconds_sum{destination="pacs"} 7'));
  assert.ok(text.includes('mcnet_deliveries_total{destination="pacs",outcome="accepted"} 170'));
});

test('gauges are read when asked; a queue that is gone leaves no value behind', async () => {
  let queues = [{ queue: 'correct', jobs: 3, oldestAgeMs: 2500 }];
  const metrics = createMetrics({
    processMetrics: false,
    sources: { queues: () => queues, archiveBytes: () => 4096, associations: () => 2 },
  });
  let text = await lines(metrics);
  assert.ok(text.includes('mcnet_queue_jobs{queue="correct"} 3'));
  assert.ok(text.includes('mcnet_queue_oldest_job_age_seconds{queue="correct"} 2.5'));
  assert.ok(text.includes('mcnet_archive_bytes 4096'));
  assert.ok(text.includes('mcnet_associations 2'));
  queues = [];
  text = await lines(metrics);
  assert.equal(
    text.some((line) => line.startsWith('mcnet_queue_jobs{')),
    false,
  );
});

test('an info metric shows only what is in use now', async () => {
  const metrics = createMetrics({ processMetrics: false });
  metrics.engine({ engine: 'onnxruntime', provider: 'webgpu', device: 'gpu 0', version: '1' });
  metrics.engine({ engine: 'onnxruntime', provider: 'cpu', device: 'cpu', version: '1' });
  metrics.model({ name: 'mcnet', version: '1.0.0', sha256: 'ab' });
  const text = (await lines(metrics)).filter((line) => line.startsWith('mcnet_engine_info{'));
  assert.deepEqual(text, [
    'mcnet_engine_info{engine="onnxruntime",provider="cpu",device="cpu",version="1",precision="float32"} 1',
  ]);
});

test('the process and its event loop are measured too', async () => {
  const metrics = createMetrics();
  const { body, contentType } = await metrics.exposition();
  assert.match(body, /^nodejs_eventloop_lag_p99_seconds /m);
  assert.match(body, /^process_resident_memory_bytes /m);
  assert.match(contentType, /^text\/plain; version=0\.0\.4/);
});
