import assert from 'node:assert/strict';
import { test } from 'node:test';
import { negotiate, propose } from '../../../src/dimse/negotiation.js';
import type { AssociateRequest, ProposedContext } from '../../../src/dimse/pdu.js';
import { STORAGE_SOP_CLASSES } from '../../../src/dimse/sop-classes.js';
import { storageProvider } from '../../../src/dimse/storage-scp.js';
import { STORED_TRANSFER_SYNTAXES } from '../../../src/dimse/transfer-syntaxes.js';
import { verificationProvider } from '../../../src/dimse/verification.js';
import { EXPLICIT, IMPLICIT, JPEG2000, MR, VERIFICATION } from './scripted-peer.js';

const onStore = () => Promise.resolve({ status: 0 });
const SERVICES = [verificationProvider, storageProvider({ onStore })];
const LIMITS = { maxPduLength: 65536, operations: 8 };

function request(
  contexts: ProposedContext[],
  user: Partial<AssociateRequest['user']> = {},
): AssociateRequest {
  return {
    protocolVersion: 1,
    calledAeTitle: 'MCNET',
    callingAeTitle: 'PACS',
    applicationContext: '1.2.840.10008.3.1.1.1',
    contexts,
    user: { maxPduLength: 16384, implementationClassUid: '1.2', roles: [], extended: [], ...user },
  };
}

const one = (transferSyntaxes: string[], abstractSyntax = MR) =>
  negotiate(request([{ id: 1, abstractSyntax, transferSyntaxes }]), SERVICES, LIMITS).accept.results[0]!;

test("the first supported syntax of the sender's list is taken, whatever its place", () => {
  assert.deepEqual(one([JPEG2000, EXPLICIT, IMPLICIT]), { id: 1, result: 0, transferSyntax: JPEG2000 });
  assert.deepEqual(one([IMPLICIT, EXPLICIT, JPEG2000]), { id: 1, result: 0, transferSyntax: IMPLICIT });
  assert.deepEqual(one(['1.2.3.4', '1.2.840.10008.1.2.4.100', EXPLICIT]).transferSyntax, EXPLICIT);
});

test('results of contexts that are not accepted say why', () => {
  assert.equal(one([EXPLICIT], '1.2.840.10008.5.1.4.1.2.2.1').result, 3);
  assert.equal(one(['1.2.840.10008.1.2.4.100']).result, 4);
  assert.equal(one([]).result, 4);
  assert.equal(one([JPEG2000], VERIFICATION).result, 4);
});

test('context ids in any order are answered in that order', () => {
  const ids = [251, 3, 1, 7];
  const contexts = ids.map((id) => ({ id, abstractSyntax: MR, transferSyntaxes: [EXPLICIT] }));
  const { accept, contexts: accepted } = negotiate(request(contexts), SERVICES, LIMITS);
  assert.deepEqual(
    accept.results.map((result) => result.id),
    ids,
  );
  assert.deepEqual([...accepted.keys()], ids);
});

test('every storage SOP class is accepted in every transfer syntax that is stored', () => {
  for (const abstractSyntax of [...STORAGE_SOP_CLASSES.keys(), '1.2.840.10008.5.1.4.1.1.99.42']) {
    for (const uid of STORED_TRANSFER_SYNTAXES.keys()) {
      assert.equal(one([uid], abstractSyntax).result, 0, `${abstractSyntax} ${uid}`);
    }
  }
});

test('unknown storage classes can be turned away, private ones let in', () => {
  const provider = storageProvider({
    onStore,
    acceptAnyStorage: false,
    additionalSopClasses: ['1.3.46.670589.5.0.1'],
  });
  assert.equal(provider.supports('1.2.840.10008.5.1.4.1.1.99.42'), undefined);
  assert.ok(provider.supports('1.3.46.670589.5.0.1'));
  assert.ok(provider.supports(MR));
});

test('the operations window is answered when it was asked for, within the limit', () => {
  const granted = (invoked: number) =>
    negotiate(request([], { asynchronousOperations: { invoked, performed: 1 } }), SERVICES, LIMITS);
  assert.deepEqual(granted(4).accept.user.asynchronousOperations, { invoked: 4, performed: 1 });
  assert.deepEqual(granted(100).accept.user.asynchronousOperations, { invoked: 8, performed: 1 });
  assert.deepEqual(granted(0).accept.user.asynchronousOperations, { invoked: 8, performed: 1 });
  const silent = negotiate(request([]), SERVICES, LIMITS);
  assert.equal(silent.accept.user.asynchronousOperations, undefined);
  assert.equal(silent.operations, 1);
});

test('roles: the requestor may be storage SCU; a context that leaves it no role is rejected', () => {
  const context = { id: 1, abstractSyntax: MR, transferSyntaxes: [EXPLICIT] };
  const answer = (scu: boolean, scp: boolean) =>
    negotiate(request([context], { roles: [{ sopClassUid: MR, scu, scp }] }), SERVICES, LIMITS).accept;
  assert.deepEqual(answer(true, true).user.roles, [{ sopClassUid: MR, scu: true, scp: false }]);
  assert.equal(answer(true, true).results[0]!.result, 0);
  assert.equal(answer(false, true).results[0]!.result, 1);
});

test('storage extended negotiation: level 2, bit preserving, no coercion; once for each SOP class', () => {
  const contexts = [1, 3].map((id) => ({ id, abstractSyntax: MR, transferSyntaxes: [EXPLICIT] }));
  const asked = { sopClassUid: MR, information: Buffer.from([3, 0, 0, 0, 2, 0]) };
  const { user } = negotiate(request(contexts, { extended: [asked] }), SERVICES, LIMITS).accept;
  assert.deepEqual(user.extended, [{ sopClassUid: MR, information: Buffer.from([2, 0, 3, 0, 0, 0]) }]);
});

test('a user identity is acknowledged when that was asked for', () => {
  const answer = (responseRequested: boolean) =>
    negotiate(request([], { userIdentity: { type: 1, responseRequested, name: 'x' } }), SERVICES, LIMITS);
  assert.deepEqual(answer(true).accept.user.userIdentityResponse, Buffer.alloc(0));
  assert.equal(answer(false).accept.user.userIdentityResponse, undefined);
});

test('a proposal has odd ids from 1 and at most 128 contexts', () => {
  const names = { calledAeTitle: 'A', callingAeTitle: 'B' };
  const contexts = Array.from({ length: 128 }, () => ({ abstractSyntax: MR, transferSyntaxes: [EXPLICIT] }));
  const { contexts: proposed } = propose(contexts, names, LIMITS);
  assert.equal(proposed[0]!.id, 1);
  assert.equal(proposed[127]!.id, 255);
  assert.throws(() => propose([...contexts, contexts[0]!], names, LIMITS), RangeError);
});
