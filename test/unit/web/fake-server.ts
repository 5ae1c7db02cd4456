import { Router } from 'express';
import { openAccess } from '../../../src/access/index.js';
import { configSchema } from '../../../src/config/index.js';
import { createLogger, createMetrics } from '../../../src/telemetry/index.js';
import {
  createWebApp,
  type Picture,
  renderPreview,
  type SeriesView,
  type SliceView,
  startWebServer,
  type WebParts,
} from '../../../src/web/index.js';

/** A head of ellipses with ghosts beside it; `motion` from 0 (none). */
function phantom(slice: number, motion: number): { rows: number; columns: number; pixels: Uint16Array } {
  const size = 256;
  const pixels = new Uint16Array(size * size);
  const reach = Math.sqrt(Math.max(0.05, 1 - ((slice - 30) / 34) ** 2));
  const inside = (x: number, y: number, a: number, b: number) =>
    (x / (a * reach)) ** 2 + (y / (b * reach)) ** 2 <= 1;
  const at = (x: number, y: number): number => {
    if (!inside(x, y, 88, 108)) return 0;
    if (!inside(x, y, 80, 100)) return 900;
    if (inside(x - 18, y + 5, 12, 34) || inside(x + 18, y + 5, 12, 34)) return 150;
    const fold = Math.sin(Math.atan2(y, x) * 18 + Math.hypot(x, y) / 7);
    return inside(x, y, 66 + 6 * fold, 86 + 6 * fold) ? 760 : 460;
  };
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const [x, y] = [column - size / 2, row - size / 2];
      const ghost = 0.5 * at(x, y + 26) + 0.5 * at(x, y - 26);
      const noise = ((row * 7919 + column * 104729) % 31) - 15;
      pixels[row * size + column] = Math.max(0, (1 - motion) * at(x, y) + motion * ghost + noise);
    }
  }
  return { rows: size, columns: size, pixels };
}

export async function fakePreview(
  instance: number,
  of: 'source' | 'derived' | 'residual',
): Promise<Picture | undefined> {
  if (instance > 60) return undefined;
  return renderPreview(of, phantom(instance, 0.22), phantom(instance, 0.04));
}

export function fakeSlices(corrected = 60): SliceView[] {
  return Array.from({ length: 60 }, (_, i) => ({
    id: i + 1,
    sop: `1.2.840.99999.1.2.3.${i + 1}`,
    position: -88.5 + 3 * i,
    frames: 1,
    state: i < corrected ? 'corrected' : 'received',
    derived: i < corrected,
    ...(i < corrected
      ? { quality: { residualEnergy: 0.01 + 0.03 * Math.abs(Math.sin(i / 7)), sharpness: 0.4 } }
      : {}),
  }));
}

export function fakeSeries(now = Date.now()): SeriesView[] {
  const base = '1.2.840.113619.2.408.14196467.2807147.20061.155956';
  const view = (id: number, changes: Partial<SeriesView>): SeriesView => ({
    id,
    study: `${base}.1`,
    series: `${base}.${4100 + id}`,
    state: 'delivered',
    reason: 'every destination has every derived instance',
    rule: 'brain T1',
    counts: { received: 170, corrected: 170, leftAlone: 0, failed: 0, delivered: 170 },
    expected: 170,
    completeReason: 'all 170 expected images are here',
    lastReceivedAt: now - 60_000 * id,
    completedAt: now - 60_000 * id + 40,
    correctedAt: now - 60_000 * id + 1900,
    deliveredAt: now - 60_000 * id + 6400,
    derivedSeries: [`2.25.31415926535897932384626433832795028841${id}`],
    destinations: [
      { name: 'pacs', state: 'delivered', delivered: 170, failed: 0, pending: 0, attempts: 1 },
      { name: 'vna', state: 'delivered', delivered: 170, failed: 0, pending: 0, attempts: 1 },
    ],
    failures: [],
    ...changes,
  });
  const open = {
    completedAt: undefined,
    correctedAt: undefined,
    deliveredAt: undefined,
  } as unknown as Partial<SeriesView>;
  return [
    view(0, {
      ...open,
      state: 'receiving',
      reason: '96 of 170 expected images are here',
      counts: { received: 96, corrected: 91, leftAlone: 0, failed: 0, delivered: 0 },
      lastReceivedAt: now - 300,
      destinations: [],
    }),
    view(1, {
      ...open,
      state: 'corrected',
      reason: 'being sent to pacs, vna',
      correctedAt: now - 58_000,
      counts: { received: 60, corrected: 60, leftAlone: 0, failed: 0, delivered: 0 },
      expected: 60,
      destinations: [
        { name: 'pacs', state: 'sending', delivered: 41, failed: 0, pending: 19, attempts: 1 },
        {
          name: 'vna',
          state: 'waiting',
          delivered: 0,
          failed: 0,
          pending: 60,
          attempts: 3,
          nextAttemptAt: now + 18_000,
          lastError: 'no answer from http://10.1.4.20/dicom-web: ECONNREFUSED',
        },
      ],
    }),
    view(7, {}),
    view(12, {
      ...open,
      state: 'failed',
      reason: 'pacs refused 2 of 35 instances',
      rule: 'brain T1',
      counts: { received: 35, corrected: 35, leftAlone: 0, failed: 0, delivered: 33 },
      expected: 35,
      destinations: [
        {
          name: 'pacs',
          state: 'failed',
          delivered: 33,
          failed: 2,
          pending: 0,
          attempts: 9,
          lastError: 'status A700: out of resources',
        },
      ],
      failures: [
        { sop: `${base}.9.1`, reason: 'pacs: status A700: out of resources' },
        { sop: `${base}.9.2`, reason: 'pacs: status A700: out of resources' },
      ],
    }),
    view(31, {
      ...open,
      state: 'left-alone',
      reason: 'localizer',
      rule: undefined as unknown as string,
      counts: { received: 3, corrected: 0, leftAlone: 3, failed: 0, delivered: 0 },
      expected: 3,
      destinations: [],
      leftAlone: [{ reason: 'localizer', count: 3 }],
    }),
    view(44, {}),
  ];
}

/** A server of invented series on a free port. */
export async function startFakeServer(
  changes: Partial<WebParts> & { port?: number; settings?: { access?: object; data?: string } } = {},
) {
  const { settings, ...parts } = changes;
  const config = configSchema.parse({
    ...settings,
    http: { port: 0, allowedHosts: ['mcnet.example'], cors: ['https://viewer.example'] },
  });
  const access = openAccess(config);
  const heard: string[] = [];
  const all = fakeSeries();
  const listeners = new Set<(series: string) => void>();
  const log: string[] = [];
  const retried: string[] = [];
  const web = createWebApp({
    config,
    access,
    peerAt: async () => undefined,
    accessEvents: {
      loggedIn: ({ name }) => heard.push(`in ${name}`),
      loggedOut: ({ name }) => heard.push(`out ${name}`),
      loginFailed: ({ name }) => heard.push(`failed ${name}`),
      refused: ({ status, path }) => heard.push(`${status} ${path}`),
      viewed: ({ name }, what) => heard.push(`${name} viewed ${JSON.stringify(what)}`),
      queried: ({ name }, query) => heard.push(`${name} queried ${query}`),
      acted: ({ name }, action, series) => heard.push(`${name} ${action} ${series}`),
    },
    metrics: createMetrics({ processMetrics: false }),
    logger: createLogger({ level: 'debug', stream: { write: (line: string) => log.push(line) } }),
    ready: () => ({ ready: true, checks: [{ name: 'engine', ok: true, message: 'cpu' }] }),
    onSeriesChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    dicomWeb: Router(),
    series: {
      list: ({ state, limit, offset }) =>
        all.filter((series) => !state || state.includes(series.state)).slice(offset, offset + limit),
      get: (uid) => all.find((series) => series.series === uid),
    },
    slices: (uid) => (all.some((series) => series.series === uid) ? fakeSlices() : undefined),
    async retry(uid) {
      if (!all.some((series) => series.series === uid)) return undefined;
      retried.push(uid);
      return { corrections: 0, deliveries: 2 };
    },
    async retryFailed(after, limit) {
      const failed = all.filter(({ state, id }) => state === 'failed' && id > after).slice(0, limit);
      retried.push(...failed.map(({ series }) => series));
      return { series: failed.map(({ series }) => series), retried: { deliveries: failed.length } };
    },
    provenance: async (uid) => (all.some((series) => series.series === uid) ? [] : undefined),
    async review(uid, review) {
      const series = all.find((one) => one.series === uid);
      if (!series) return undefined;
      series.review = { ...review, at: Date.now() };
      return series.review;
    },
    reviews(uid) {
      const series = all.find((one) => one.series === uid);
      return series && (series.review ? [series.review] : []);
    },
    status: () => ({
      version: '0.1.0',
      aeTitle: 'MCNET',
      startedAt: Date.now(),
      engine: { engine: 'onnxruntime', device: 'CPU, 4 threads', provider: 'cpu', version: '1.30.0' },
      model: { name: 'mcnet', version: '1.0.0', sha256: '3f2a'.repeat(16) },
      queues: [{ queue: 'correct', jobs: 5, dead: 0, oldestAgeMs: 1800 }],
      destinations: [{ name: 'pacs', protocol: 'dimse', address: 'PACS@127.0.0.1:4242' }],
      archive: { bytes: 1.2e9, freeBytes: 48e9 },
      series: { delivered: 2 },
      problems: [],
    }),
    preview: fakePreview,
    pixels: async () => undefined,
    studies: {
      create: () => Promise.reject(new Error('this server is invented')),
      list: () => [],
      get: () => undefined,
      rated: () => 0,
      next: () => undefined,
      turn: () => undefined,
      rate: () => Promise.resolve(),
      ratings: () => [],
    },
    fetching: { sources: new Map(), request: async () => [], get: () => undefined, list: () => [] },
    pulls: () => [],
    ...parts,
  });
  const server = await startWebServer(web.app, { host: '127.0.0.1', port: changes.port ?? 0 });
  return {
    url: server.url.replace(/\/$/, ''),
    port: server.port,
    all,
    log,
    app: web.app,
    retried,
    heard,
    access,
    change(series: string) {
      for (const listener of listeners) listener(series);
    },
    listeners: () => listeners.size,
    async close() {
      web.close();
      access.close();
      await server.close(10_000);
    },
  };
}
