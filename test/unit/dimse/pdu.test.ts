import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type AssociateAccept, type AssociateRequest, PduError } from '../../../src/dimse/pdu.js';
import {
  decodeAbort,
  decodeAssociateAccept,
  decodeAssociateReject,
  decodeAssociateRequest,
} from '../../../src/dimse/pdu-decode.js';
import {
  encodeAbort,
  encodeAssociateAccept,
  encodeAssociateReject,
  encodeAssociateRequest,
} from '../../../src/dimse/pdu-encode.js';

/** Plain objects, so that they compare with decoded ones. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(model, { noNullPrototype: true });

const uid = fc
  .array(fc.integer({ min: 0, max: 99999 }), { minLength: 2, maxLength: 8 })
  .map((parts) => parts.join('.'));
const aeTitle = fc.stringMatching(/^[A-Z][A-Z0-9_]{0,15}$/);
const oddIds = fc.uniqueArray(
  fc.integer({ min: 0, max: 127 }).map((index) => 2 * index + 1),
  { maxLength: 20 },
);
const user = record({
  maxPduLength: fc.integer({ min: 0, max: 0xffffffff }),
  implementationClassUid: uid,
  implementationVersionName: fc.stringMatching(/^[A-Z0-9_]{1,16}$/),
  asynchronousOperations: record({ invoked: fc.nat(65535), performed: fc.nat(65535) }),
  roles: fc.array(record({ sopClassUid: uid, scu: fc.boolean(), scp: fc.boolean() }), { maxLength: 4 }),
  extended: fc.array(
    record({
      sopClassUid: uid,
      information: fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
    }),
    { maxLength: 4 },
  ),
});
const names = { calledAeTitle: aeTitle, callingAeTitle: aeTitle, applicationContext: uid };
const request: fc.Arbitrary<AssociateRequest> = oddIds.chain((ids) =>
  record({
    protocolVersion: fc.constant(1),
    ...names,
    contexts: fc.tuple(
      ...ids.map((id) =>
        record({
          id: fc.constant(id),
          abstractSyntax: uid,
          transferSyntaxes: fc.array(uid, { minLength: 1, maxLength: 4 }),
        }),
      ),
    ),
    user,
  }),
);
const accept: fc.Arbitrary<AssociateAccept> = oddIds.chain((ids) =>
  record({
    protocolVersion: fc.constant(1),
    ...names,
    results: fc.tuple(
      ...ids.map((id) => record({ id: fc.constant(id), result: fc.nat(4), transferSyntax: uid })),
    ),
    user,
  }),
);

const bodyOf = (pdu: Buffer): Buffer => {
  assert.equal(pdu.readUInt32BE(2), pdu.length - 6);
  return pdu.subarray(6);
};

test('A-ASSOCIATE-RQ survives encoding and decoding, ids in any order', () => {
  fc.assert(
    fc.property(request, (value) => {
      assert.deepEqual(decodeAssociateRequest(bodyOf(encodeAssociateRequest(value))), value);
    }),
    { seed: 1, numRuns: 150 },
  );
});

test('A-ASSOCIATE-AC survives encoding and decoding', () => {
  fc.assert(
    fc.property(accept, (value) => {
      assert.deepEqual(decodeAssociateAccept(bodyOf(encodeAssociateAccept(value))), value);
    }),
    { seed: 2, numRuns: 150 },
  );
});

test('A-ASSOCIATE-RJ and A-ABORT survive encoding and decoding', () => {
  const reject = { result: 2, source: 3, reason: 1 };
  assert.deepEqual(decodeAssociateReject(bodyOf(encodeAssociateReject(reject))), reject);
  assert.deepEqual(decodeAbort(bodyOf(encodeAbort({ source: 2, reason: 6 }))), { source: 2, reason: 6 });
});

test('mutated and cut A-ASSOCIATE PDUs decode or throw PduError, nothing else', () => {
  const decoders = [decodeAssociateRequest, decodeAssociateAccept];
  const mutation = record({
    value: request,
    flips: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
    keep: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  fc.assert(
    fc.property(mutation, ({ value, flips, keep }) => {
      const whole = Buffer.from(bodyOf(encodeAssociateRequest(value)));
      for (const [at, byte] of flips) whole[at % whole.length] = byte;
      const bytes = whole.subarray(0, Math.floor(whole.length * keep) + 1);
      for (const decode of decoders) {
        try {
          decode(bytes);
        } catch (error) {
          assert.ok(error instanceof PduError, String(error));
        }
      }
    }),
    { seed: 3, numRuns: 400 },
  );
});

test('a passcode of a user identity is not kept', () => {
  const value: AssociateRequest = {
    protocolVersion: 1,
    calledAeTitle: 'A',
    callingAeTitle: 'B',
    applicationContext: '1.2',
    contexts: [],
    user: {
      maxPduLength: 0,
      implementationClassUid: '1.2',
      roles: [],
      extended: [],
      userIdentity: { type: 4, responseRequested: true, name: 'a SAML assertion' },
    },
  };
  const decoded = decodeAssociateRequest(bodyOf(encodeAssociateRequest(value)));
  assert.deepEqual(decoded.user.userIdentity, { type: 4, responseRequested: true });
  value.user.userIdentity = { type: 1, responseRequested: false, name: 'radiology' };
  assert.equal(
    decodeAssociateRequest(bodyOf(encodeAssociateRequest(value))).user.userIdentity?.name,
    'radiology',
  );
});
