/** What goes between gateway and worker: UIDs, numbers and names only, never patient data. */
import { z } from 'zod';

const uid = z
  .string()
  .regex(/^[0-9]+(\.[0-9]+)*$/)
  .max(64);
const digest = z.string().regex(/^[0-9a-f]{64}$/);

const identity = z.object({
  model: z.object({ name: z.string(), version: z.string(), sha256: digest }),
  configurationDigest: z.string(),
  softwareVersion: z.string(),
});

/** A job in Redis: correct one instance of one gateway's archive. */
export const correctionJob = z.object({
  /** Id of the gateway whose archive holds the instance, and to which the result goes. */
  gateway: z.string(),
  /** Row id of the instance there. */
  instance: z.int().positive(),
  study: uid,
  series: uid,
  sop: uid,
  /** The archive's digest of the source: what a worker reads must have it. */
  digest,
  transferSyntax: uid,
  /** Where the data set begins in the file, bytes. */
  dataSetOffset: z.int().nonnegative(),
  /** Path of the file below the gateway's data folder, for workers that have that folder mounted. */
  path: z.string(),
  /** Moment that the derived instance names as that of its correction, ms since the epoch. */
  at: z.number(),
  /** What the rule wants flagged, skipped or passed through. */
  safeguards: z
    .object({
      skipBelow: z.number().optional(),
      maxResidual: z.number(),
      domain: z.enum(['check', 'off']),
      onFlag: z.enum(['deliver', 'pass through']),
    })
    .optional(),
});
export type CorrectionJob = z.infer<typeof correctionJob>;

/** Id of a job in Redis: the same instance of the same gateway is there once. */
export const jobIdOf = (gateway: string, instance: number): string => `${gateway}.${instance}`;

/** What a job is about, by its id alone; undefined when the id is not one of {@link jobIdOf}. */
export function aboutJob(id: string): { gateway: string; instance: number } | undefined {
  const match = /^(.+)\.([1-9]\d{0,14})$/.exec(id);
  return match === null ? undefined : { gateway: match[1]!, instance: Number(match[2]) };
}

/** What a gateway says of itself in Redis, for as long as it lives. */
export const gatewayPresence = z.object({
  id: z.string(),
  /** The name under which workers know its data folder. */
  name: z.string(),
  /** Root of the address at which it serves workers. */
  url: z.string(),
  /** Says, to those who share the secret, that somebody who knows it wrote `id` and `url`. */
  seal: z.string(),
  /** Device UID for what is derived for it. */
  deviceUid: z.string(),
  identities: z.array(identity),
});
export type GatewayPresence = z.infer<typeof gatewayPresence>;

/** What a worker says of itself in Redis, for as long as it lives. */
export const workerPresence = z.object({
  id: z.string(),
  host: z.string(),
  identities: z.array(identity),
  /** Instances that it corrects at a time. */
  concurrency: z.int(),
  engine: z.string(),
  /** Why it takes no work at the moment; empty when it does. */
  problem: z.string(),
});
export type WorkerPresence = z.infer<typeof workerPresence>;

const numbers = z.record(z.string(), z.unknown());

/** How a worker describes the derived instance that it returns, in the header {@link RESULT_HEADER}. */
export const correctionResult = z.object({
  /** Queue of the identity under which it was made. */
  queue: z.string(),
  study: uid,
  series: uid,
  sop: uid,
  sopClass: uid,
  transferSyntax: uid,
  /** SHA-256 of the file. */
  sha256: digest,
  quality: numbers,
  flags: z.array(z.object({ kind: z.string().max(64), message: z.string().max(1024) })).default([]),
  ms: numbers,
});
export type CorrectionResult = z.infer<typeof correctionResult>;

/** Why a worker could not correct an instance. */
export const correctionFailure = z.object({
  queue: z.string(),
  message: z.string().max(4000),
  /** Whether any later attempt would fail for the same reason. */
  permanent: z.boolean(),
});
export type CorrectionFailure = z.infer<typeof correctionFailure>;

/** A derived instance that lies in the gateway's data folder already. */
export const exchangedFile = z.object({ file: z.string().regex(/^[0-9a-f-]{36}\.dcm$/) });

export const RESULT_HEADER = 'mc-net-result';
/** Folder below a gateway's data folder through which workers that have it mounted hand over what they derived. */
export const EXCHANGE_FOLDER = 'exchange';
