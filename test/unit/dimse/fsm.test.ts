import assert from 'node:assert/strict';
import { test } from 'node:test';
import { actionFor, EVENTS, nextState, STATES } from '../../../src/dimse/fsm.js';

const PDU_EVENTS = ['Evt3', 'Evt4', 'Evt6', 'Evt10', 'Evt12', 'Evt13', 'Evt16', 'Evt19'] as const;

test('every PDU has an action in every state with an open transport connection', () => {
  for (const event of PDU_EVENTS) {
    for (const state of STATES) {
      const open = state !== 'Sta1' && state !== 'Sta4';
      assert.equal(actionFor(event, state) !== undefined, open, `${event} in ${state}`);
    }
  }
});

test('a lost transport connection has an action in every state but idle', () => {
  for (const state of STATES) assert.equal(actionFor('Evt17', state) !== undefined, state !== 'Sta1', state);
});

test('the table has a column for each state', () => {
  assert.equal(EVENTS.length, 19);
  assert.equal(STATES.length, 13);
});

const PATHS: { name: string; role: 'requestor' | 'acceptor'; events: string[]; states: string[] }[] = [
  {
    name: 'requestor: associate, transfer, release',
    role: 'requestor',
    events: ['Evt1', 'Evt2', 'Evt3', 'Evt9', 'Evt10', 'Evt11', 'Evt13'],
    states: ['Sta4', 'Sta5', 'Sta6', 'Sta6', 'Sta6', 'Sta7', 'Sta1'],
  },
  {
    name: 'acceptor: associate, transfer, release',
    role: 'acceptor',
    events: ['Evt5', 'Evt6', 'Evt7', 'Evt10', 'Evt9', 'Evt12', 'Evt9', 'Evt14', 'Evt17'],
    states: ['Sta2', 'Sta3', 'Sta6', 'Sta6', 'Sta6', 'Sta8', 'Sta8', 'Sta13', 'Sta1'],
  },
  {
    name: 'acceptor: reject, ARTIM expires',
    role: 'acceptor',
    events: ['Evt5', 'Evt6', 'Evt8', 'Evt18'],
    states: ['Sta2', 'Sta3', 'Sta13', 'Sta1'],
  },
  {
    name: 'release collision, requestor',
    role: 'requestor',
    events: ['Evt1', 'Evt2', 'Evt3', 'Evt11', 'Evt12', 'Evt14', 'Evt13'],
    states: ['Sta4', 'Sta5', 'Sta6', 'Sta7', 'Sta9', 'Sta11', 'Sta1'],
  },
  {
    name: 'release collision, acceptor',
    role: 'acceptor',
    events: ['Evt5', 'Evt6', 'Evt7', 'Evt11', 'Evt12', 'Evt13', 'Evt14', 'Evt17'],
    states: ['Sta2', 'Sta3', 'Sta6', 'Sta7', 'Sta10', 'Sta12', 'Sta13', 'Sta1'],
  },
  {
    name: 'requestor: abort from the peer',
    role: 'requestor',
    events: ['Evt1', 'Evt2', 'Evt3', 'Evt16'],
    states: ['Sta4', 'Sta5', 'Sta6', 'Sta1'],
  },
  {
    name: 'acceptor: invalid PDU',
    role: 'acceptor',
    events: ['Evt5', 'Evt6', 'Evt7', 'Evt19', 'Evt16'],
    states: ['Sta2', 'Sta3', 'Sta6', 'Sta13', 'Sta1'],
  },
];

for (const path of PATHS) {
  test(`path of the state machine: ${path.name}`, () => {
    let state: (typeof STATES)[number] = 'Sta1';
    path.events.forEach((event, index) => {
      const action = actionFor(event as (typeof EVENTS)[number], state);
      assert.ok(action, `${event} in ${state}`);
      state = nextState(action, path.role);
      assert.equal(state, path.states[index], `after ${event}`);
    });
  });
}
