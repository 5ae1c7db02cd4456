import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSenders } from '../../../src/dicomweb/index.js';
import { declaredInstance, isUid } from '../../../src/dicomweb/meta-header.js';
import { MR_IMAGE_STORAGE, part10 } from './fake-intake.js';

test('senders are the hosts of the peers; names are resolved and remembered', async () => {
  let asked = 0;
  const senders = createSenders(
    () => [
      { aeTitle: '*', host: '127.0.0.1' },
      { aeTitle: 'SCANNER', host: 'scanner.example' },
      { aeTitle: 'PACS', host: '10.0.0.5' },
      { aeTitle: 'GONE', host: 'gone.example' },
    ],
    async (host) => {
      asked += 1;
      if (host === 'gone.example') throw new Error('ENOTFOUND');
      return ['10.0.0.7', 'fd00::7'];
    },
  );
  assert.equal(await senders.nameOf('::1'), '::1');
  assert.equal(await senders.nameOf('::ffff:10.0.0.5'), 'PACS');
  assert.equal(await senders.nameOf('fd00::7'), 'SCANNER');
  assert.equal(await senders.nameOf('10.0.0.8'), undefined);
  assert.equal(await senders.nameOf(''), undefined);
  assert.equal(asked, 2);
});

test('a peer with an AE title names the sender before one without', async () => {
  const senders = createSenders(() => [
    { aeTitle: '*', host: '127.0.0.1' },
    { aeTitle: 'PACS', host: 'localhost' },
  ]);
  assert.equal(await senders.nameOf('127.0.0.1'), 'PACS');
});

test('what a file says it is, as far as its beginning goes', () => {
  const file = part10('1.2.3.4');
  assert.deepEqual(declaredInstance(file), { sopClassUid: MR_IMAGE_STORAGE, sopInstanceUid: '1.2.3.4' });
  for (let length = 0; length < file.length; length++) {
    const declared = declaredInstance(file.subarray(0, length));
    assert.ok(declared === undefined || declared.sopInstanceUid === '1.2.3.4');
  }
  assert.equal(declaredInstance(part10('../../etc/passwd')), undefined);
});

test('UIDs', () => {
  assert.deepEqual(
    ['1.2.840.10008', '2.25.0', '1', '', '1.', '.1', '1..2', '1.a', `1.${'2'.repeat(63)}`, '1.2\n'].map(
      isUid,
    ),
    [true, true, true, false, false, false, false, false, false, false],
  );
});
