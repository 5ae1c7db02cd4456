import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { PduError } from '../../../src/dimse/pdu.js';
import { encodeReleaseRequest } from '../../../src/dimse/pdu-encode.js';
import { PduReader, type PduSink } from '../../../src/dimse/pdu-reader.js';
import { COMMAND, LAST, pdata } from './scripted-peer.js';

interface Recorded {
  log: string[];
  error: PduError | undefined;
  reader: PduReader;
}

function recorder(maxDataTransfer = 65536): Recorded {
  let open = '';
  const recorded: Recorded = { log: [], error: undefined, reader: undefined as unknown as PduReader };
  const sink: PduSink = {
    dataTransfer: () => {},
    fragment: (contextId, isCommand, bytes, end) => {
      open += bytes.toString('latin1');
      if (!end) return;
      recorded.log.push(`${contextId} ${isCommand ? 'command' : 'data'} ${open}`);
      open = '';
    },
    pdu: (type, body) => recorded.log.push(`pdu ${type} ${body.length}`),
    invalid: (error) => {
      recorded.error = error;
    },
  };
  recorded.reader = new PduReader(sink, { maxDataTransfer, maxAssociate: 1024 });
  return recorded;
}

test('a stream reads the same however it is cut into chunks', () => {
  const stream = Buffer.concat([
    pdata(1, COMMAND | LAST, Buffer.from('command!')),
    pdata(1, 0, Buffer.from('first ')),
    pdata(1, LAST, Buffer.from('second')),
    pdata(3, LAST, Buffer.alloc(0)),
    encodeReleaseRequest(),
  ]);
  const expected = ['1 command command!', '1 data first second', '3 data ', 'pdu 5 4'];
  fc.assert(
    fc.property(fc.array(fc.nat(stream.length), { maxLength: 30 }), (cuts) => {
      const { reader, log } = recorder();
      const points = [0, ...cuts.sort((a, b) => a - b), stream.length];
      for (let i = 1; i < points.length; i += 1) reader.feed(stream.subarray(points[i - 1], points[i]));
      assert.deepEqual(log, expected);
    }),
    { seed: 4, numRuns: 200 },
  );
});

test('several values in one PDU', () => {
  const values = [pdata(1, COMMAND | LAST, Buffer.from('ab')), pdata(1, LAST, Buffer.from('cd'))].map((pdu) =>
    pdu.subarray(6),
  );
  const header = Buffer.from([4, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(values[0]!.length + values[1]!.length, 2);
  const { reader, log } = recorder();
  reader.feed(Buffer.concat([header, ...values]));
  assert.deepEqual(log, ['1 command ab', '1 data cd']);
});

const INVALID: { name: string; bytes: Buffer; reason: number }[] = [
  { name: 'a P-DATA-TF of 0xFFFFFFF0 bytes', bytes: Buffer.from('0400fffffff0', 'hex'), reason: 6 },
  { name: 'an A-ASSOCIATE-RQ of 0xFFFFFFF0 bytes', bytes: Buffer.from('0100fffffff0', 'hex'), reason: 6 },
  { name: 'an A-ABORT of 5 bytes', bytes: Buffer.from('070000000005', 'hex'), reason: 6 },
  { name: 'PDU type 8', bytes: Buffer.from('080000000004', 'hex'), reason: 1 },
  { name: 'a value longer than its PDU', bytes: Buffer.from('0400000000080000000a0101', 'hex'), reason: 6 },
  {
    name: 'a value without its control header',
    bytes: Buffer.from('040000000006000000010101', 'hex'),
    reason: 6,
  },
  {
    name: 'a PDU that ends inside a value header',
    bytes: Buffer.from('040000000003000000', 'hex'),
    reason: 6,
  },
];
for (const { name, bytes, reason } of INVALID) {
  test(`${name} is invalid as soon as its header is there`, () => {
    const recorded = recorder();
    recorded.reader.feed(bytes);
    assert.equal(recorded.error?.reason, reason);
    recorded.reader.feed(Buffer.alloc(100_000));
    assert.equal(recorded.reader.pending, 0);
  });
}

test('while held, nothing is delivered; afterwards everything, in order', () => {
  const { reader, log } = recorder();
  reader.held = true;
  reader.feed(pdata(1, LAST, Buffer.from('one')));
  reader.feed(pdata(1, LAST, Buffer.from('two')));
  assert.deepEqual(log, []);
  assert.equal(reader.pending, 30);
  reader.held = false;
  assert.deepEqual(log, ['1 data one', '1 data two']);
  assert.equal(reader.pending, 0);
});

test('64 MB in chunks of 1 KiB read in linear time and without keeping bytes', () => {
  let bytes = 0;
  let most = 0;
  const reader = new PduReader(
    {
      dataTransfer: () => {},
      fragment: (_context, _isCommand, part) => {
        bytes += part.length;
      },
      pdu: () => {},
      invalid: (error) => assert.fail(error.message),
    },
    { maxDataTransfer: 1 << 20, maxAssociate: 1024 },
  );
  const pdu = pdata(1, 0, Buffer.alloc((1 << 20) - 6));
  const started = performance.now();
  for (let i = 0; i < 64; i += 1) {
    for (let at = 0; at < pdu.length; at += 1024) {
      reader.feed(pdu.subarray(at, at + 1024));
      most = Math.max(most, reader.pending);
    }
  }
  assert.equal(bytes, 64 * ((1 << 20) - 6));
  assert.ok(most < 1024, `${most} bytes were kept`);
  assert.ok(performance.now() - started < 20_000);
});
