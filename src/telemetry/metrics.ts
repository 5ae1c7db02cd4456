import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** How a received instance ended. */
export type ReceiveOutcome = 'stored' | 'duplicate' | 'new-version' | 'kept-first' | 'rejected';
/** How one instance fared at a destination: as dimse.StoreOutcome. */
export type DeliveryOutcome = 'accepted' | 'warning' | 'refused' | 'lost';

/** What is read only when Prometheus asks. */
export interface MetricsSources {
  /** Depth and age of the oldest job, by queue. */
  queues?(): Iterable<{ queue: string; jobs: number; oldestAgeMs: number }>;
  /** Bytes of all instances in the archive. */
  archiveBytes?(): number;
  /** Bytes free on the archive's disk. */
  diskFreeBytes?(): Promise<number>;
  /** Associations open now. */
  associations?(): number;
}

export interface MetricsOptions {
  /** The values that the label `source` may take (AE titles of peers); everybody else counts as "other". */
  knownSources?: () => Iterable<string>;
  /** The values that the label `destination` may take; everything else counts as "other". */
  knownDestinations?: () => Iterable<string>;
  sources?: MetricsSources;
  /** Of the archive's disk, in bytes. */
  watermarks?: { low: number; critical: number };
  /** Metrics of the process and its event loop too (default). They start timers, which tests may not want. */
  processMetrics?: boolean;
}

/** From 1 ms to 2 minutes: one slice's step, from a decode on an idle machine to a long wait for an engine. */
export const SLICE_BUCKETS_SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120,
];
/** From half a second to an hour: a series waits for quiet and for its destinations. */
export const SERIES_BUCKETS_SECONDS = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];

/** Everything the server counts, each function one observation; durations are milliseconds and leave as seconds. */
export interface Metrics {
  readonly registry: Registry;
  received(o: { source: string; protocol: string; outcome: ReceiveOutcome; bytes: number }): void;
  decoded(ms: number): void;
  preprocessed(ms: number): void;
  inferred(ms: number, slices?: number): void;
  postprocessed(ms: number): void;
  /** Received → corrected, one slice. */
  sliceCorrected(latencyMs: number): void;
  correctionEnded(outcome: 'corrected' | 'left-alone' | 'failed'): void;
  /** Last slice received → last derived instance accepted by the destination. */
  seriesDelivered(o: { destination: string; turnaroundMs: number }): void;
  delivered(o: { destination: string; outcome: DeliveryOutcome; instances?: number }): void;
  /** Instances, received and derived, that retention removed. */
  removed(o: { why: 'age' | 'space'; instances: number; bytes: number }): void;
  /** The safeguards remarked something about an instance. */
  flagged(kind: string): void;
  /** A person accepted or rejected a series. */
  reviewed(verdict: 'accepted' | 'rejected'): void;
  engine(o: {
    engine: string;
    provider: string;
    device: string;
    version: string;
    /** Of the numbers inside the network; float32 where nothing is said. */
    precision?: { precision: string };
  }): void;
  /** The engine failed, and another took over. */
  engineFellBack(): void;
  /** Whether there is an engine that runs the network. */
  engineUp(up: boolean): void;
  model(o: { name: string; version: string; sha256: string }): void;
  /** Somebody logged in, or tried to. */
  login(outcome: 'accepted' | 'refused'): void;
  /** An HTTP request was refused: without good credentials (401), without the right (403), too many (429). */
  refused(status: 401 | 403 | 429): void;
  /** The configuration was read: whether it could be used. `atMs`: when one last could. */
  configured(o: { used: boolean; atMs: number }): void;
  /** Whether the audit trail can be written to its file, and sent. */
  auditing(sink: 'file' | 'syslog', works: boolean): void;
  /** The text that Prometheus reads, and its media type. */
  exposition(): Promise<{ contentType: string; body: string }>;
}

/** Configuration may change; what it has once named keeps its label. */
function bounded(known: (() => Iterable<string>) | undefined): (value: string) => string {
  const values = new Set<string>();
  return (value) => {
    if (!values.has(value)) for (const each of known?.() ?? []) values.add(each);
    return value !== '*' && values.has(value) ? value : 'other';
  };
}

/**
 * The server's metrics in a registry of their own, named by Prometheus' conventions (base units, `_total`, `_info`).
 * Label values come from configuration, never from the network, so that no sender can make new time series.
 */
export function createMetrics(options: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const { sources = {} } = options;
  const sourceLabel = bounded(options.knownSources);
  const destinationLabel = bounded(options.knownDestinations);
  if (options.processMetrics !== false) collectDefaultMetrics({ register: registry });

  const counter = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Counter({ name, help, labelNames, registers });
  const sliceHistogram = (name: string, help: string) =>
    new Histogram({ name, help, buckets: SLICE_BUCKETS_SECONDS, registers });

  const instancesReceived = counter(
    'mcnet_instances_received_total',
    'Instances received, by how they ended.',
    ['source', 'protocol', 'outcome'],
  );
  const bytesReceived = counter('mcnet_received_bytes_total', 'Bytes of instances received and kept.', [
    'source',
    'protocol',
  ]);
  const decode = sliceHistogram('mcnet_decode_duration_seconds', "Decoding one instance's pixel data.");
  const preprocess = sliceHistogram(
    'mcnet_preprocess_duration_seconds',
    'Preparing one slice for the network.',
  );
  const inference = sliceHistogram(
    'mcnet_inference_duration_seconds',
    'One run of the network on a batch of slices.',
  );
  const postprocess = sliceHistogram('mcnet_postprocess_duration_seconds', 'Making one derived instance.');
  const sliceLatency = sliceHistogram(
    'mcnet_slice_latency_seconds',
    'One slice, from received to corrected.',
  );
  const turnaround = new Histogram({
    name: 'mcnet_series_turnaround_seconds',
    help: 'One series, from its last slice received to its last derived instance accepted by the destination.',
    labelNames: ['destination'],
    buckets: SERIES_BUCKETS_SECONDS,
    registers,
  });
  const batchSlices = new Histogram({
    name: 'mcnet_inference_batch_slices',
    help: 'Slices that one run of the network took together.',
    buckets: [1, 2, 4, 8, 16, 32, 64],
    registers,
  });
  const corrections = counter('mcnet_corrections_total', 'Instances by the end of their correction.', [
    'outcome',
  ]);
  const flagged = counter(
    'mcnet_instances_flagged_total',
    'Corrected instances by what the safeguards remarked: skipped, residual, contrast, matrix, orientation.',
    ['kind'],
  );
  const reviews = counter('mcnet_reviews_total', 'Series that a person accepted or rejected.', ['verdict']);
  const deliveries = counter(
    'mcnet_deliveries_total',
    'Derived instances by what their destination answered.',
    ['destination', 'outcome'],
  );
  const logins = counter('mcnet_logins_total', 'Attempts to log in, by how they ended.', ['outcome']);
  const refusals = counter(
    'mcnet_http_refusals_total',
    'HTTP requests refused for want of credentials (401), of a right (403), or for their number (429).',
    ['status'],
  );
  const reloaded = new Gauge({
    name: 'mcnet_config_last_reload_successful',
    help: 'Whether the configuration file, as it was last read, is in force; 0 when an older one is.',
    registers,
  });
  const reloadedAt = new Gauge({
    name: 'mcnet_config_last_reload_success_timestamp_seconds',
    help: 'When the configuration in force was read.',
    registers,
  });
  const auditWorks = new Gauge({
    name: 'mcnet_audit_sink_up',
    help: 'Whether the audit trail can be written to its file, and sent to its repository.',
    labelNames: ['sink'],
    registers,
  });
  const engineInfo = new Gauge({
    name: 'mcnet_engine_info',
    help: 'The engine that runs the network; always 1.',
    labelNames: ['engine', 'provider', 'device', 'version', 'precision'],
    registers,
  });
  const engineUp = new Gauge({
    name: 'mcnet_engine_up',
    help: 'Whether there is an engine that runs the network: 0 while it failed and none could take over.',
    registers,
  });
  // Where other processes correct there is none to speak of.
  engineUp.remove();
  const fallbacks = counter(
    'mcnet_engine_fallbacks_total',
    'Times that an engine failed while it worked and another took over.',
    [],
  );
  const modelInfo = new Gauge({
    name: 'mcnet_model_info',
    help: 'The model in use; always 1.',
    labelNames: ['name', 'version', 'sha256'],
    registers,
  });

  new Gauge({
    name: 'mcnet_queue_jobs',
    help: 'Jobs waiting or running.',
    labelNames: ['queue'],
    registers,
    collect() {
      this.reset();
      for (const queue of sources.queues?.() ?? []) this.set({ queue: queue.queue }, queue.jobs);
    },
  });
  new Gauge({
    name: 'mcnet_queue_oldest_job_age_seconds',
    help: 'Age of the oldest job that waits; 0 when none does.',
    labelNames: ['queue'],
    registers,
    collect() {
      this.reset();
      for (const queue of sources.queues?.() ?? [])
        this.set({ queue: queue.queue }, queue.oldestAgeMs / 1000);
    },
  });
  new Gauge({
    name: 'mcnet_archive_bytes',
    help: 'Bytes of all instances in the archive.',
    registers,
    collect() {
      this.set(sources.archiveBytes?.() ?? 0);
    },
  });
  const removedInstances = counter(
    'mcnet_retention_removed_instances_total',
    'Instances, received and derived, removed to make room, by the limit that asked for it.',
    ['why'],
  );
  const removedBytes = counter('mcnet_retention_removed_bytes_total', 'Bytes removed to make room.', ['why']);
  const watermarks = new Gauge({
    name: 'mcnet_disk_watermark_bytes',
    help: "Free bytes of the archive's disk below which senders are turned away (low) and objects refused (critical).",
    labelNames: ['level'],
    registers,
  });
  for (const [level, bytes] of Object.entries(options.watermarks ?? {})) watermarks.set({ level }, bytes);
  new Gauge({
    name: 'mcnet_disk_free_bytes',
    help: "Bytes free on the archive's disk.",
    registers,
    async collect() {
      this.set((await sources.diskFreeBytes?.()) ?? 0);
    },
  });
  new Gauge({
    name: 'mcnet_associations',
    help: 'DICOM associations open now.',
    registers,
    collect() {
      this.set(sources.associations?.() ?? 0);
    },
  });

  return {
    registry,
    received({ source, protocol, outcome, bytes }) {
      const labels = { source: sourceLabel(source), protocol };
      instancesReceived.inc({ ...labels, outcome });
      if (outcome !== 'rejected') bytesReceived.inc(labels, bytes);
    },
    decoded: (ms) => decode.observe(ms / 1000),
    preprocessed: (ms) => preprocess.observe(ms / 1000),
    inferred(ms, slices = 1) {
      inference.observe(ms / 1000);
      batchSlices.observe(slices);
    },
    postprocessed: (ms) => postprocess.observe(ms / 1000),
    sliceCorrected: (ms) => sliceLatency.observe(ms / 1000),
    correctionEnded: (outcome) => corrections.inc({ outcome }),
    seriesDelivered: ({ destination, turnaroundMs }) =>
      turnaround.observe({ destination: destinationLabel(destination) }, turnaroundMs / 1000),
    delivered: ({ destination, outcome, instances = 1 }) =>
      deliveries.inc({ destination: destinationLabel(destination), outcome }, instances),
    removed({ why, instances, bytes }) {
      removedInstances.inc({ why }, instances);
      removedBytes.inc({ why }, bytes);
    },
    flagged: (kind) => flagged.inc({ kind }),
    reviewed: (verdict) => reviews.inc({ verdict }),
    engine({ engine, provider, device, version, precision }) {
      engineInfo.reset();
      engineInfo.set({ engine, provider, device, version, precision: precision?.precision ?? 'float32' }, 1);
      engineUp.set(1);
    },
    engineFellBack: () => fallbacks.inc(),
    engineUp: (up) => engineUp.set(up ? 1 : 0),
    model({ name, version, sha256 }) {
      modelInfo.reset();
      modelInfo.set({ name, version, sha256 }, 1);
    },
    configured({ used, atMs }) {
      reloaded.set(used ? 1 : 0);
      reloadedAt.set(atMs / 1000);
    },
    auditing: (sink, works) => auditWorks.set({ sink }, works ? 1 : 0),
    login: (outcome) => logins.inc({ outcome }),
    refused: (status) => refusals.inc({ status: String(status) }),
    async exposition() {
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
  };
}
