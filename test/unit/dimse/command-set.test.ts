import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type CommandSet,
  CommandSetError,
  decodeCommandSet,
  encodeCommandSet,
  errorCommentOf,
} from '../../../src/dimse/command-set.js';

const STORE: CommandSet = {
  commandField: 0x0001,
  hasDataSet: true,
  messageId: 65535,
  priority: 2,
  affectedSopClassUid: '1.2.840.10008.5.1.4.1.1.4',
  affectedSopInstanceUid: '1.2.3',
  moveOriginatorAeTitle: 'PACS',
  moveOriginatorMessageId: 7,
};

test('command sets survive encoding and decoding', () => {
  assert.deepEqual(decodeCommandSet(encodeCommandSet(STORE)), STORE);
  const response: CommandSet = {
    commandField: 0x8001,
    hasDataSet: false,
    messageIdBeingRespondedTo: 3,
    status: 0xa900,
    offendingElements: [0x00100010, 0xfffee000],
    errorComment: 'SOP class differs',
  };
  assert.deepEqual(decodeCommandSet(encodeCommandSet(response)), response);
});

test('elements ascend, values are even, the group length is right', () => {
  const bytes = encodeCommandSet(STORE);
  assert.equal(bytes.readUInt32LE(8), bytes.length - 12);
  let last = -1;
  for (let at = 0; at < bytes.length; ) {
    const number = bytes.readUInt16LE(at + 2);
    const length = bytes.readUInt32LE(at + 4);
    assert.ok(number > last, `element ${number} after ${last}`);
    assert.equal(length % 2, 0);
    last = number;
    at += 8 + length;
  }
});

test('an error comment is one ASCII value of 64 characters at most', () => {
  assert.equal(errorCommentOf('a\\b\nc\u00e9'), 'a/b?c?');
  assert.equal(errorCommentOf('x'.repeat(100)).length, 64);
});

test('bytes that are not a command set throw CommandSetError, nothing else', () => {
  const whole = encodeCommandSet(STORE);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255))),
      fc.nat(whole.length),
      (flips, keep) => {
        const bytes = Buffer.from(whole.subarray(0, keep));
        for (const [at, byte] of flips) if (at < bytes.length) bytes[at] = byte;
        try {
          decodeCommandSet(bytes);
        } catch (error) {
          assert.ok(error instanceof CommandSetError, String(error));
        }
      },
    ),
    { seed: 5, numRuns: 500 },
  );
  assert.throws(() => decodeCommandSet(Buffer.alloc(0)), CommandSetError);
  assert.throws(() => decodeCommandSet(Buffer.from('1000100000000000', 'hex')), /group 0010/);
});
