/** Correction on other machines: a gateway hands jobs out through Redis, workers bring back what they made. */
export {
  createDispatcher,
  type Dispatcher,
  type DispatcherOptions,
  type ReturnedFile,
  type Verdict,
} from './dispatcher.js';
export { type Refusal, refusalsOf } from './gateways.js';
export { differenceOf, type Identity, identityOf, queueOf } from './identity.js';
export type { GatewayPresence, WorkerPresence } from './messages.js';
export { type Announcement, announce, presentGateways, presentWorkers } from './presence.js';
export { connectRedis, type RedisAccess, type RedisConnection, redisAddress } from './redis.js';
export { sealOf } from './secret.js';
export {
  type CorrectionWorker,
  type CorrectionWorkerOptions,
  type JobEnd,
  startCorrectionWorker,
  type WorkerModel,
} from './worker.js';
export { createWorkerPort, emptyExchange, type WorkerPortOptions } from './worker-port.js';
