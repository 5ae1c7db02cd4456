/** A lane that obeys its input: 13 ends the thread, 14 loses the device, 15 never answers; else the negative. */
import { parentPort, threadId } from 'node:worker_threads';
import type { LaneReply, LaneRequest } from '../../../../src/inference/engines/lane.js';

const port = parentPort!;
const tell = (message: LaneReply) => port.postMessage(message);
port.on('message', (request: LaneRequest) => {
  if (request === 'close') return port.close();
  const { id, data } = request;
  if (data[0] === 13) process.exit(3);
  if (data[0] === 14) return tell({ kind: 'error', id, message: 'wgpu: Device is lost' });
  if (data[0] === 15) return;
  tell({ kind: 'result', id, data: data.map((value) => -value) });
});
tell({ kind: 'ready', info: { version: String(threadId), provider: 'fault' } });
