/** The real correction worker, except that some files end or hang its thread, as a codec might. */
import { parentPort } from 'node:worker_threads';
import type { ToWorker } from '../../../src/correction/protocol.js';

parentPort!.on('message', (message: ToWorker) => {
  if (message.kind !== 'open' || !('path' in message.source)) return;
  const { path } = message.source;
  if (path.includes('abort')) process.exit(134);
  if (path.includes('throw')) throw new Error('RuntimeError: unreachable');
  if (path.includes('hang')) for (;;);
});
await import('../../../src/correction/worker.js');
