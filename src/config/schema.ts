import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { access } from './access.js';
import { audit } from './audit.js';
import { pull, sources } from './sources.js';
import { disk, quotas, retention } from './storage.js';
import { listenerTls, outgoingTls } from './tls.js';
import {
  aeTitle,
  bytes,
  host,
  httpHeaders,
  httpUrl,
  listenPort,
  match,
  milliseconds,
  share,
  strict,
  targetPort,
  text,
  whole,
} from './values.js';

/** RFC 6454 6.2: as browsers write it in the Origin header. */
function isOrigin(value: string): boolean {
  try {
    return /^https?:/.test(value) && new URL(value).origin === value;
  } catch {
    return false;
  }
}

function redisUrl(value: string): boolean {
  try {
    const { protocol, hostname } = new URL(value);
    return /^rediss?:$/.test(protocol) && hostname !== '';
  } catch {
    return false;
  }
}

const secret = text('a secret of 16 printable ASCII characters or more, without blanks', (value) =>
  /^[\x21-\x7e]{16,}$/.test(value),
);

const destination = strict({
  dimse: strict({
    aeTitle,
    host,
    port: targetPort,
    callingAeTitle: aeTitle.optional(),
    commitment: z.enum(['off', 'required'], { error: 'off or required' }).default('off'),
    commitmentTimeout: milliseconds.prefault('10m'),
    timeout: milliseconds.prefault('2m'),
    tls: outgoingTls.optional(),
  }).optional(),
  dicomweb: strict({
    url: text('an http or https address without user, password and query', httpUrl),
    headers: httpHeaders,
    timeout: milliseconds.prefault('60s'),
    batch: whole(1, 1000, 'instances a request').default(10),
    connections: whole(1, 64, 'parallel connections').default(2),
  }).optional(),
}).refine((value) => Number(value.dimse !== undefined) + Number(value.dicomweb !== undefined) === 1, {
  error: 'exactly one of dimse and dicomweb',
});

/** Both or none: PEM files, read at start. */
const httpTls = strict({
  certificate: text('the path of a PEM file with the certificate and its chain'),
  key: text('the path of a PEM file with the private key'),
});

const PRIORITIES = { stat: 100, routine: 0 } as const;
const priority = z
  .union([z.enum(['stat', 'routine']), z.int().min(-100).max(100)], {
    error: 'stat, routine, or a whole number from -100 to 100',
  })
  .default('routine')
  .transform((value) => (typeof value === 'number' ? value : PRIORITIES[value]));

const rule = strict({
  name: text('a name for the rule, shown on the page'),
  when: z
    .record(
      text("a DICOM attribute's keyword such as Modality", (key) => /^[A-Z][A-Za-z0-9]*$/.test(key)),
      match,
      { error: 'a mapping of DICOM keywords to values' },
    )
    .prefault({}),
  model: text('the name of a folder under models: letters, digits, dot, dash, underscore', (value) =>
    /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(value),
  ).optional(),
  to: z.array(text('the name of a destination'), { error: "a list of destinations' names" }).default([]),
  priority,
  deliver: z.enum(['series', 'slice'], { error: 'series or slice' }).default('series'),
  safeguards: strict({
    skipBelow: share('an estimated severity').optional(),
    maxResidual: share('a share of the energy').default(0.05),
    domain: z.enum(['check', 'off'], { error: 'check or off' }).default('check'),
    onFlag: z.enum(['deliver', 'pass through'], { error: 'deliver or pass through' }).default('deliver'),
  }).prefault({}),
  hold: z.enum(['no', 'until accepted'], { error: 'no or until accepted' }).default('no'),
  complete: strict({
    quiet: milliseconds.prefault('5s'),
    maxAge: milliseconds.prefault('10m'),
  }).prefault({}),
});

const workers = z
  .union([z.literal('auto'), z.int().min(1).max(256)], { error: 'auto or a whole number from 1 to 256' })
  .default('auto');

/** The models that the package brings with it. */
const shippedModels = fileURLToPath(new URL('../../../models', import.meta.url));

/** The whole configuration; after parsing, durations are milliseconds and amounts are bytes. */
export const configSchema = strict({
  aeTitle: aeTitle.default('MCNET'),
  data: text('a folder').default('./var'),
  models: text('a folder').default(shippedModels),
  dimse: strict({
    host: host.default('127.0.0.1'),
    port: listenPort.default(11112),
    tls: listenerTls.optional(),
  }).prefault({}),
  http: strict({
    host: host.default('127.0.0.1'),
    port: listenPort.default(8080),
    tls: httpTls.optional(),
    allowedHosts: z.array(host, { error: 'a list of host names' }).default([]),
    cors: z
      .array(
        text('an origin such as https://viewer.hospital.example: scheme, host and port only', isOrigin),
        {
          error: 'a list of origins',
        },
      )
      .default([]),
  }).prefault({}),
  access: access.optional(),
  audit,
  queue: text('embedded, or the address of a Redis server such as redis://127.0.0.1:6379', (value) => {
    return value === 'embedded' || redisUrl(value);
  }).default('embedded'),
  redis: strict({
    username: text('the name of a Redis user').optional(),
    password: text('the password of the Redis user').optional(),
    passwordFile: text('a file that holds the password').optional(),
    tls: outgoingTls.optional(),
  }).prefault({}),
  distribution: strict({
    name: text('a name of letters, digits, dot, dash, underscore', (name) =>
      /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name),
    ).default('gateway'),
    listen: strict({ host: host.default('127.0.0.1'), port: listenPort.default(8090) }).prefault({}),
    url: text('an http or https address without user, password and query', httpUrl).optional(),
    token: secret.optional(),
    tokenFile: text('a file that holds the token').optional(),
    folders: z
      .record(text("a gateway's name"), text('a folder'), { error: 'a mapping of gateways to folders' })
      .prefault({}),
    concurrency: z
      .union([z.literal('auto'), z.int().min(1).max(1024)], {
        error: 'auto or a whole number from 1 to 1024',
      })
      .default('auto'),
    lease: milliseconds.prefault('15s'),
  }).prefault({}),
  engine: z
    .enum(['auto', 'tensorrt', 'cuda', 'webgpu', 'cpu', 'tensorflow'], {
      error: 'one of auto, tensorrt, cuda, webgpu, cpu, tensorflow',
    })
    .default('auto'),
  precision: z.enum(['auto', 'float32'], { error: 'auto or float32' }).default('float32'),
  peers: z
    .array(
      strict({
        aeTitle: z.union([z.literal('*'), aeTitle], {
          error: 'an AE title of 1 to 16 printable ASCII characters without backslash, or "*" for any',
        }),
        host,
        port: targetPort.optional(),
        tls: outgoingTls.optional(),
        retrieve: z.boolean({ error: 'true or false' }).optional(),
      }),
      { error: 'a list of { aeTitle, host, port, retrieve }' },
    )
    .prefault([
      { aeTitle: '*', host: '127.0.0.1' },
      { aeTitle: '*', host: '::1' },
    ]),
  destinations: z
    .record(
      text('a name of letters, digits, dash, underscore', (name) => /^[A-Za-z0-9][A-Za-z0-9_-]*$/.test(name)),
      destination,
      { error: 'a mapping of names to destinations' },
    )
    .prefault({}),
  sources,
  pull,
  rules: z
    .array(rule, { error: 'a list of rules' })
    .prefault([
      { name: 'brain MR', when: { Modality: 'MR', BodyPartExamined: ['BRAIN', 'HEAD'] }, model: 'mcnet' },
    ]),
  duplicates: z
    .enum(['keep-version', 'keep-first', 'refuse'], { error: 'keep-version, keep-first or refuse' })
    .default('keep-version'),
  seriesNumber: strict({ offset: whole(0, 99, 'the n of "source × 100 + n"').default(1) }).prefault({}),
  batch: strict({
    max: whole(1, 256, 'slices a batch').default(8),
    waitMs: whole(0, 1000, 'milliseconds to wait for a fuller batch').default(5),
  }).prefault({}),
  concurrency: strict({
    workers,
    inferenceThreads: workers,
    deliveries: whole(1, 64, 'deliveries at a time to one destination').default(1),
  }).prefault({}),
  retry: strict({
    first: milliseconds.prefault('5s'),
    max: milliseconds.prefault('15m'),
    refusals: whole(1, 1_000_000, 'refusals').default(5),
  }).prefault({}),
  limits: strict({
    associations: whole(1, 10_000, 'associations in all').default(64),
    associationsPerPeer: whole(1, 10_000, 'associations of one peer').default(16),
    idle: milliseconds.prefault('10m'),
    pduLength: whole(4096, 2 ** 24, 'bytes of a PDU').default(131_072),
    instanceBytes: bytes.prefault('4GiB'),
    stowRequestBytes: bytes.prefault('64GiB'),
    stowInstances: whole(1, 1_000_000, 'instances in one STOW-RS request').default(20_000),
  }).prefault({}),
  disk,
  retention,
  quotas,
  page: strict({
    patient: z
      .enum(['full', 'initials', 'masked'], { error: 'full, initials or masked' })
      .default('initials'),
  }).prefault({}),
  log: strict({
    level: z
      .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
        error: 'one of fatal, error, warn, info, debug, trace, silent',
      })
      .default('info'),
  }).prefault({}),
});

/** What the program works with: every key present, durations in milliseconds, amounts in bytes, folders absolute. */
export type Config = z.output<typeof configSchema>;
/** One entry of `rules`. */
export type Rule = Config['rules'][number];
/** One entry of `peers`; an AE title of `*` stands for any. */
export type Peer = Config['peers'][number];
/** One entry of `destinations`: exactly one of `dimse` and `dicomweb` is set. */
export type DestinationConfig = Config['destinations'][string];
