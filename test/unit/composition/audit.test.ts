import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Instance } from '../../../src/archive/index.js';
import type { AuditEvent } from '../../../src/audit/index.js';
import { createAuditing } from '../../../src/composition/audit.js';
import { configSchema } from '../../../src/config/index.js';
import type { Destination } from '../../../src/delivery/index.js';

const MR = '1.2.840.10008.5.1.4.1.1.4';

/** An index of one study, whose patient is known until it is removed. */
function start() {
  const events: AuditEvent[] = [];
  let now = 1e12;
  let patient: string | null = 'P-1';
  const db = {
    get: (sql: string) =>
      /FROM studies/.test(sql) ? (patient === null ? undefined : { id: patient }) : { study: '1.2' },
    all: (_sql: string, sops: string) => [
      { study: '1.2', sopClass: MR, count: (JSON.parse(sops) as string[]).length },
    ],
  };
  const config = configSchema.parse({
    destinations: { pacs: { dimse: { aeTitle: 'PACS', host: '192.0.2.1', port: 104 } } },
  });
  const audit = createAuditing({
    trail: { record: (event) => events.push(event) },
    archive: () => ({ db, get: () => undefined }) as never,
    config: () => config,
    now: () => now,
  });
  return {
    audit,
    events,
    later: (ms: number) => {
      now += ms;
    },
    forgetPatient: () => {
      patient = null;
    },
  };
}

const principal = { name: 'maria', role: 'viewer', by: 'session', address: '192.0.2.7' } as const;

test('a person who goes on looking at a study is recorded once in ten minutes, for each series', () => {
  const { audit, events, later } = start();
  for (let i = 0; i < 100; i++) audit.viewed(principal, { study: '1.2', series: '1.2.3' });
  audit.viewed(principal, { study: '1.2', series: '1.2.4' });
  audit.viewed({ ...principal, name: 'otto' }, { study: '1.2', series: '1.2.3' });
  assert.equal(events.length, 3);
  later(600_001);
  audit.viewed(principal, { study: '1.2', series: '1.2.3' });
  assert.equal(events.length, 4);
});

test('a stranger who tries for ever does not fill the trail, and another reason is another message', () => {
  const { audit, events } = start();
  const refusal = { status: 401, reason: 'log in', address: '192.0.2.9', path: '/api/series' } as const;
  for (let i = 0; i < 1000; i++) audit.refused({ ...refusal, path: `/${i}` });
  audit.refused({ ...refusal, reason: 'the token is not known here' });
  assert.equal(events.length, 2);
});

test('what retention removes is recorded with the patient, who is not known afterwards', () => {
  const { audit, events, forgetPatient } = start();
  audit.removing({ study: '1.2', series: '1.2.3' });
  forgetPatient();
  audit.removed({ study: '1.2', series: '1.2.3', why: 'age' });
  assert.deepEqual(events, [
    {
      event: 'deleted',
      by: { id: 'MCNET' },
      object: { study: '1.2', patientId: 'P-1', series: ['1.2.3'] },
      reason: 'retention: kept for as long as it is to be kept',
    },
  ]);
});

test('a delivery is recorded before and after, with how many were not accepted', async () => {
  const { audit, events } = start();
  const to: Destination = {
    name: 'pacs',
    echo: async () => '',
    send: async (instances) =>
      instances.map(({ sopInstanceUid }, i) => ({
        sopInstanceUid,
        outcome: i === 0 ? 'refused' : 'accepted',
        message: '',
        transient: false,
      })),
  };
  const instance = (sopInstanceUid: string) => ({ sopInstanceUid }) as never;
  await audit.destination(to).send([instance('1'), instance('2'), instance('3')]);
  assert.deepEqual(
    events.map((event) => ('object' in event ? [event.event, event.object.instances?.[MR]] : [])),
    [
      ['transfer-begun', 3],
      ['transferred', 2],
    ],
  );
  assert.deepEqual(events[1], {
    event: 'transferred',
    source: { id: 'MCNET' },
    destination: { id: 'PACS', address: '192.0.2.1' },
    by: 'source',
    object: { study: '1.2', patientId: 'P-1', instances: { [MR]: 2 } },
    outcome: 'minor-failure',
    reason: '1 instances were not accepted',
  });
});

test('what an association brings is one message when it begins and one when it ends', async () => {
  const { audit, events } = start();
  const instance = { study: '1.2', sopClass: MR } as Instance;
  const intake = audit.intake({
    beginFile: () => {
      throw new Error('not used');
    },
    beginDataSet: () => ({
      write: async () => {},
      abort: async () => {},
      commit: async () => ({ outcome: 'stored', instance }),
    }),
    acceptMore: () => true,
  });
  const source = { protocol: 'dimse', peer: 'PACS', address: '192.0.2.1' } as const;
  const about = { source, transferSyntaxUid: '', sopClassUid: MR, sopInstanceUid: '1' };
  for (let i = 0; i < 5; i++) await intake.beginDataSet({ ...about, association: 'a' }).commit();
  assert.deepEqual(
    events.map(({ event }) => event),
    ['transfer-begun'],
  );
  audit.associationEnded('a');
  audit.associationEnded('a');
  assert.deepEqual(
    events.map((event) => ('object' in event ? [event.event, event.object.instances?.[MR]] : [])),
    [
      ['transfer-begun', undefined],
      ['transferred', 5],
    ],
  );
});
