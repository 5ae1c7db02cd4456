/** An object of more than a gigabyte: kept, hashed and verified to its last byte, without being in memory. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { test } from 'node:test';
import * as dicom from '../../src/dicom/index.js';
import { openPipeline } from '../../src/pipeline/index.js';
import { encodeDataSet, explicitLE, mrImage } from '../unit/dicom/encode.js';
import { atEnd, temporaryFolder } from '../unit/pipeline/synthetic.js';

const CHUNK = 8 * 1024 * 1024;
const CHUNKS = 150;
const MOST_MEMORY = 256 * 1024 * 1024;

test('an object of 1.2 GB is kept and hashed whole; cut off, it is refused', async (t) => {
  const pipeline = await openPipeline({
    data: await temporaryFolder(t),
    rules: [],
    dicom,
    models: new Map(),
    destinations: [],
  });
  atEnd(t, () => pipeline.close(500));
  const header = Buffer.alloc(12);
  Buffer.from([0xe0, 0x7f, 0x10, 0x00, 0x4f, 0x57]).copy(header);
  header.writeUInt32LE(CHUNK * CHUNKS, 8);
  const beginning = Buffer.concat([encodeDataSet(explicitLE, mrImage()), header]);
  const before = process.memoryUsage().rss;
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss - before);
  }, 20);
  const send = async (last: number) => {
    const incoming = pipeline.intake.beginDataSet({
      source: { protocol: 'file', peer: 'test', address: '' },
      transferSyntaxUid: explicitLE.uid,
      sopClassUid: '1.2.840.10008.5.1.4.1.1.4',
      sopInstanceUid: '1.2.3.4.5.6',
    });
    const hash = createHash('sha256').update(explicitLE.uid).update('\0').update(beginning);
    await incoming.write(beginning);
    for (let i = 0; i < CHUNKS; i += 1) {
      const chunk = Buffer.alloc(i === CHUNKS - 1 ? CHUNK + last : CHUNK, i + 1);
      hash.update(chunk);
      await incoming.write(chunk);
    }
    return { committed: await incoming.commit(), digest: hash.digest('hex') };
  };
  try {
    await assert.rejects(send(-2), { name: 'IntakeError', code: 'truncated', status: 0xc000 });
    const { committed, digest } = await send(0);
    assert.equal(committed.outcome, 'stored');
    assert.equal(committed.instance.digest, digest);
    assert.equal((await stat(committed.instance.path)).size, committed.instance.bytes);
    assert.ok(committed.instance.bytes > 2 ** 30);
  } finally {
    clearInterval(watch);
  }
  t.diagnostic(`at most ${(most / 2 ** 20).toFixed(0)} MiB more memory`);
  assert.ok(most < MOST_MEMORY, `${most} bytes of memory`);
});
