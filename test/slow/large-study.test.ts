/** A study much larger than what may be in memory is given by WADO-RS at the reader's speed, and arrives whole. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { encodeDataSet, explicitLE, type Item, mrImage, part10 } from '../unit/dicom/encode.js';
import { startArchiveServer } from '../unit/dicomweb/archive-server.js';

const INSTANCES = 40;
const SIDE = 2048;
const BYTES = SIDE * SIDE * 2;
/** What sockets, what is read ahead and the test's own reading hold, some times over. */
const BOUND = 24 * 2 ** 20;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function instance(n: number): Buffer {
  const extra: Item = [
    [0x0020000d, 'UI', '1.2.3'],
    [0x0020000e, 'UI', '1.2.3.1'],
    [0x00080018, 'UI', `1.2.3.1.${n}`],
  ];
  const pixels = Buffer.alloc(12 + BYTES, n);
  pixels.set([0xe0, 0x7f, 0x10, 0, 0x4f, 0x57, 0, 0]);
  pixels.writeUInt32LE(BYTES, 8);
  return part10(
    explicitLE,
    Buffer.concat([encodeDataSet(explicitLE, mrImage({ rows: SIDE, columns: SIDE, extra })), pixels]),
  );
}

test('a slow reader of a large study: bounded memory, every byte', async (t) => {
  const server = await startArchiveServer(t);
  const expected = createHash('sha256');
  for (let n = 1; n <= INSTANCES; n += 1) {
    const file = instance(n);
    expected.update(createHash('sha256').update(file).digest());
    await server.store(file);
  }
  collectGarbage();
  const before = process.memoryUsage();
  const held = () => {
    collectGarbage();
    collectGarbage(); // what the first has found is given back before the second begins
    const { arrayBuffers, heapUsed } = process.memoryUsage();
    return arrayBuffers + heapUsed - before.arrayBuffers - before.heapUsed;
  };
  let most = 0;
  const found = createHash('sha256');
  const { total, parts } = await new Promise<{ total: number; parts: number }>((resolve, reject) => {
    const accept = 'multipart/related; type="application/dicom"; transfer-syntax=*';
    const asked = request(`${server.url}/studies/1.2.3`, { headers: { accept } }, async (response) => {
      try {
        const boundary = /boundary="?([^";]+)/.exec(response.headers['content-type'] ?? '')![1]!;
        const delimiter = Buffer.from(`\r\n--${boundary}`);
        let [sum, count, stops] = [0, 0, 0];
        let file = createHash('sha256');
        let waiting: Buffer = Buffer.from('\r\n');
        let inBody = false;
        for await (const chunk of response as AsyncIterable<Buffer>) {
          sum += chunk.length;
          waiting = waiting.length === 0 ? chunk : Buffer.concat([waiting, chunk]);
          for (;;) {
            if (!inBody) {
              const end = waiting.indexOf('\r\n\r\n');
              if (end < 0) break;
              waiting = waiting.subarray(end + 4);
              inBody = true;
            }
            const at = waiting.indexOf(delimiter);
            if (at < 0) {
              const certain = Math.max(0, waiting.length - delimiter.length);
              file.update(waiting.subarray(0, certain));
              waiting = waiting.subarray(certain);
              break;
            }
            found.update(file.update(waiting.subarray(0, at)).digest());
            file = createHash('sha256');
            waiting = waiting.subarray(at + delimiter.length);
            inBody = false;
            count += 1;
          }
          // Now and then the reader stops: what the server reads on would pile up.
          if (sum > (stops + 1) * 40 * 2 ** 20) {
            stops += 1;
            await delay(200);
            most = Math.max(most, held());
          }
        }
        resolve({ total: sum, parts: count });
      } catch (error) {
        reject(error as Error);
      }
    });
    asked.on('error', reject);
    asked.end();
  });
  t.diagnostic(`${(total / 2 ** 20).toFixed(0)} MiB given, at most ${(most / 2 ** 20).toFixed(1)} MiB held`);
  assert.equal(parts, INSTANCES);
  assert.ok(total > INSTANCES * BYTES);
  assert.equal(found.digest('hex'), expected.digest('hex'));
  assert.ok(most < BOUND, `${most} bytes were held`);
});
