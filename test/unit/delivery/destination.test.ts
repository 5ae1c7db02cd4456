import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createBreaker,
  type Deliverable,
  dicomwebDestination,
  dimseDestination,
  type Outcome,
} from '../../../src/delivery/index.js';

const deliverable: Deliverable = {
  sopClassUid: '1.2',
  sopInstanceUid: '1.2.3',
  transferSyntaxUid: '1.2.840.10008.1.2.1',
  bytes: 4,
  dataSet: async () => Buffer.from('ds'),
  file: async () => Buffer.from('file'),
};
const outcome: Outcome = {
  sopInstanceUid: '1.2.3',
  outcome: 'accepted',
  status: 0,
  message: '',
  transient: false,
};

test('a DIMSE destination sends data sets without meta header and reports each outcome as it comes', async () => {
  const target = { host: '127.0.0.1', port: 104, calledAeTitle: 'PACS', callingAeTitle: 'MCNET' };
  const seen: Outcome[] = [];
  const destination = dimseDestination('pacs', target, {
    async storeInstances(to, instances, options) {
      assert.equal(to, target);
      assert.equal(String(await instances[0]?.open(deliverable.transferSyntaxUid)), 'ds');
      assert.equal(instances[0]?.transferSyntaxUid, deliverable.transferSyntaxUid);
      options?.onOutcome?.(outcome);
      return [outcome];
    },
    async echo() {},
  });
  assert.deepEqual(await destination.send([deliverable], { onOutcome: (each) => seen.push(each) }), [
    outcome,
  ]);
  assert.deepEqual(seen, [outcome]);
  assert.match(await destination.echo(), /^PACS at 127\.0\.0\.1:104 answered C-ECHO in \d+ ms$/);
});

test('a DICOMweb destination sends whole files with its own options', async () => {
  const destination = dicomwebDestination(
    'vna',
    { url: 'http://127.0.0.1/dicom-web' },
    {
      async stow(to, instances, options: { batch?: number } = {}) {
        assert.equal(to.url, 'http://127.0.0.1/dicom-web');
        assert.equal(String(await instances[0]?.file()), 'file');
        assert.equal(options.batch, 7);
        return [outcome];
      },
      echo: async ({ url }) => `${url} answers`,
    },
    { batch: 7 },
  );
  assert.deepEqual(await destination.send([deliverable]), [outcome]);
  assert.equal(await destination.echo(), 'http://127.0.0.1/dicom-web answers');
});

test('the breaker pauses longer after each failure and forgets at the first success', () => {
  const breaker = createBreaker({ baseMs: 100, capMs: 350 }, () => 1);
  assert.equal(breaker.until, undefined);
  const pauses = [1, 2, 3, 4].map(() => {
    breaker.failed(1000);
    return breaker.until! - 1000;
  });
  assert.deepEqual(pauses, [100, 200, 350, 350]);
  assert.equal(breaker.succeeded(), 4);
  assert.equal(breaker.until, undefined);
  breaker.failed(0);
  assert.equal(breaker.until, 100);
});
