import { Counter, Gauge, type Registry } from 'prom-client';

/** What is read of a gateway only when Prometheus asks. */
export interface GatewaySources {
  outstanding(): number;
  redisUp(): boolean;
  /** Workers that take this gateway's jobs. */
  workers(): number;
}

/** The metrics of a gateway, in the server's registry. */
export function createGatewayMetrics(
  registry: Registry,
  sources: GatewaySources,
): { republished(jobs: number): void } {
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge(
    'mcnet_gateway_jobs_outstanding',
    'Corrections that are with the workers, or on the way to them.',
    () => sources.outstanding(),
  );
  gauge('mcnet_redis_up', 'Whether the Redis server can be used: 1 or 0.', () => (sources.redisUp() ? 1 : 0));
  gauge('mcnet_gateway_workers', "Workers that are there and take this gateway's jobs.", () =>
    sources.workers(),
  );
  const republished = new Counter({
    name: 'mcnet_gateway_jobs_republished_total',
    help: 'Jobs that Redis had lost and that were published again.',
    registers,
  });
  return { republished: (jobs) => republished.inc(jobs) };
}

export type WorkerOutcome = 'corrected' | 'failed' | 'unwanted' | 'returned';

/** What is read of a worker only when Prometheus asks. */
export interface WorkerSources {
  running(): number;
  redisUp(): boolean;
  /** Models that gateways ask for and this worker refuses. */
  refused(): number;
  paused(): boolean;
}

/** The metrics of a worker, beside those of its engine. */
export function createWorkerMetrics(
  registry: Registry,
  sources: WorkerSources,
): { ended(outcome: WorkerOutcome): void; detour(): void } {
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  gauge('mcnet_worker_jobs_running', 'Jobs under way.', () => sources.running());
  gauge('mcnet_redis_up', 'Whether the Redis server can be used: 1 or 0.', () => (sources.redisUp() ? 1 : 0));
  gauge(
    'mcnet_worker_models_refused',
    'Models that gateways ask for in a form that this worker does not have.',
    () => sources.refused(),
  );
  gauge('mcnet_worker_paused', 'Whether the worker pauses because its engine keeps failing: 1 or 0.', () =>
    sources.paused() ? 1 : 0,
  );
  const jobs = new Counter({
    name: 'mcnet_worker_jobs_total',
    help: 'Jobs by their end: corrected, failed (the gateway was told why), unwanted (too late), returned (to Redis).',
    labelNames: ['outcome'],
    registers,
  });
  const detours = new Counter({
    name: 'mcnet_worker_detours_total',
    help: 'Pixel data that went over the network because the mounted folder could not be used.',
    registers,
  });
  return { ended: (outcome) => jobs.inc({ outcome }), detour: () => detours.inc() };
}
