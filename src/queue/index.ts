/** Work that survives the end of the process. One interface; the embedded queue lives in the archive's database. */
export { type EmbeddedQueueOptions, openEmbeddedQueue } from './embedded.js';
export {
  type Job,
  type JobContext,
  type JobState,
  type NewJob,
  PermanentFailure,
  type Queue,
  type QueueStats,
  RetryLater,
  type RetryPolicy,
  retryDelay,
  type WorkerOptions,
} from './queue.js';
