/** Objects that arrive side by side, in pieces, in memory that is used again: none gets anything of another. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import * as dicom from '../../../src/dicom/index.js';
import { openPipeline } from '../../../src/pipeline/index.js';
import {
  atEnd,
  explicitLittleEndian,
  mrImageStorage,
  type Slice,
  slice,
  temporaryFolder,
} from '../pipeline/synthetic.js';

const senders = 16;
const each = 12;

test('interleaved senders: the bytes, digests and attributes of every object are its own', async (t) => {
  const pipeline = await openPipeline({
    data: await temporaryFolder(t),
    rules: [],
    dicom,
    models: new Map(),
    destinations: [],
  });
  atEnd(t, () => pipeline.close(500));
  const sliceOf = (sender: number, n: number) => {
    const number = sender * 1000 + n;
    // Sizes on both sides of what is kept in memory, and of a block of it.
    const length = n === 5 ? 4_300_000 : 1000 + ((number * 104_729) % 600_000);
    return slice({
      study: `1.2.${sender}`,
      series: `1.2.${sender}.1`,
      sop: `1.2.${sender}.1.${n}`,
      values: { AcquisitionNumber: String(number) },
      pixels: Buffer.alloc(length - (length % 2), number),
    });
  };
  async function send(one: Slice, over: 'dimse' | 'dicomweb', cut: boolean): Promise<void> {
    const source = { protocol: over, peer: 'SENDER', address: '127.0.0.1' };
    const incoming =
      over === 'dimse'
        ? pipeline.intake.beginDataSet({
            source,
            transferSyntaxUid: explicitLittleEndian,
            sopClassUid: mrImageStorage,
            sopInstanceUid: one.sop,
          })
        : pipeline.intake.beginFile({ source });
    const bytes = over === 'dimse' ? one.dataSet : one.file;
    const piece = Buffer.alloc(50_000);
    const end = cut ? bytes.length - 1 : bytes.length;
    for (let at = 0; at < end; at += piece.length) {
      // One buffer for all pieces, as a socket may do it.
      const filled = bytes.copy(piece, 0, at, Math.min(end, at + piece.length));
      await incoming.write(piece.subarray(0, filled));
      if (at % 3 === 0) await new Promise(setImmediate);
    }
    if (!cut) await incoming.commit();
    else await assert.rejects(incoming.commit(), { code: 'truncated' });
  }
  await Promise.all(
    Array.from({ length: senders }, async (_, sender) => {
      for (let n = 0; n < each; n += 1) {
        const one = sliceOf(sender, n);
        const over = sender % 2 === 0 ? 'dimse' : 'dicomweb';
        if (n % 4 === 3) await send(one, over, true);
        await send(one, over, false);
        if (n % 5 === 4) await send(one, over, false); // the same once more
      }
    }),
  );
  for (let sender = 0; sender < senders; sender += 1) {
    for (let n = 0; n < each; n += 1) {
      const one = sliceOf(sender, n);
      const versions = pipeline.archive.versions(one.study, one.series, one.sop);
      assert.equal(versions.length, 1, one.sop);
      const [stored] = versions;
      const file = await readFile(stored!.path);
      assert.ok(file.subarray(stored!.dataSetOffset).equals(one.dataSet), one.sop);
      const row = pipeline.archive.db.get<{ attributes: string }>(
        'SELECT attributes FROM instances WHERE id = ?',
        stored!.id,
      );
      const { AcquisitionNumber } = JSON.parse(row!.attributes) as Record<string, string[]>;
      assert.deepEqual(AcquisitionNumber, [String(sender * 1000 + n)]);
    }
  }
});
