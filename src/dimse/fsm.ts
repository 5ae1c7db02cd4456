/**
 * The state machine of the DICOM Upper Layer: PS3.8 section 9.2, table 9-10, as it stands in the standard.
 *
 * States: Sta1 idle · Sta2 transport open, awaiting A-ASSOCIATE-RQ · Sta3 awaiting the local A-ASSOCIATE response ·
 * Sta4 awaiting the transport connection · Sta5 awaiting A-ASSOCIATE-AC or -RJ · Sta6 association established ·
 * Sta7 awaiting A-RELEASE-RP · Sta8 awaiting the local A-RELEASE response · Sta9 to Sta12 release collision ·
 * Sta13 awaiting the close of the transport connection.
 *
 * Events: Evt1 A-ASSOCIATE request · Evt2 transport confirmed · Evt3 AC PDU · Evt4 RJ PDU · Evt5 transport indication ·
 * Evt6 RQ PDU · Evt7 accept response · Evt8 reject response · Evt9 P-DATA request · Evt10 P-DATA-TF PDU ·
 * Evt11 A-RELEASE request · Evt12 A-RELEASE-RQ PDU · Evt13 A-RELEASE-RP PDU · Evt14 A-RELEASE response ·
 * Evt15 A-ABORT request · Evt16 A-ABORT PDU · Evt17 transport closed · Evt18 ARTIM expired · Evt19 invalid PDU.
 */

export const STATES = [
  'Sta1',
  'Sta2',
  'Sta3',
  'Sta4',
  'Sta5',
  'Sta6',
  'Sta7',
  'Sta8',
  'Sta9',
  'Sta10',
  'Sta11',
  'Sta12',
  'Sta13',
] as const;
export type State = (typeof STATES)[number];

export type Action =
  | 'AE-1'
  | 'AE-2'
  | 'AE-3'
  | 'AE-4'
  | 'AE-5'
  | 'AE-6'
  | 'AE-7'
  | 'AE-8'
  | 'DT-1'
  | 'DT-2'
  | 'AR-1'
  | 'AR-2'
  | 'AR-3'
  | 'AR-4'
  | 'AR-5'
  | 'AR-6'
  | 'AR-7'
  | 'AR-8'
  | 'AR-9'
  | 'AR-10'
  | 'AA-1'
  | 'AA-2'
  | 'AA-3'
  | 'AA-4'
  | 'AA-5'
  | 'AA-6'
  | 'AA-7'
  | 'AA-8';

type Row = readonly (Action | '')[];

// biome-ignore format: the table of the standard, column by column
const TABLE = {
  //        Sta1    Sta2    Sta3    Sta4    Sta5    Sta6    Sta7    Sta8    Sta9    Sta10   Sta11   Sta12   Sta13
  Evt1:  ['AE-1', '',     '',     '',     '',     '',     '',     '',     '',     '',     '',     '',     ''    ],
  Evt2:  ['',     '',     '',     'AE-2', '',     '',     '',     '',     '',     '',     '',     '',     ''    ],
  Evt3:  ['',     'AA-1', 'AA-8', '',     'AE-3', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-6'],
  Evt4:  ['',     'AA-1', 'AA-8', '',     'AE-4', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-6'],
  Evt5:  ['AE-5', '',     '',     '',     '',     '',     '',     '',     '',     '',     '',     '',     ''    ],
  Evt6:  ['',     'AE-6', 'AA-8', '',     'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-7'],
  Evt7:  ['',     '',     'AE-7', '',     '',     '',     '',     '',     '',     '',     '',     '',     ''    ],
  Evt8:  ['',     '',     'AE-8', '',     '',     '',     '',     '',     '',     '',     '',     '',     ''    ],
  Evt9:  ['',     '',     '',     '',     '',     'DT-1', '',     'AR-7', '',     '',     '',     '',     ''    ],
  Evt10: ['',     'AA-1', 'AA-8', '',     'AA-8', 'DT-2', 'AR-6', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-6'],
  Evt11: ['',     '',     '',     '',     '',     'AR-1', '',     '',     '',     '',     '',     '',     ''    ],
  Evt12: ['',     'AA-1', 'AA-8', '',     'AA-8', 'AR-2', 'AR-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-6'],
  Evt13: ['',     'AA-1', 'AA-8', '',     'AA-8', 'AA-8', 'AR-3', 'AA-8', 'AA-8', 'AR-10','AR-3', 'AA-8', 'AA-6'],
  Evt14: ['',     '',     '',     '',     '',     '',     '',     'AR-4', 'AR-9', '',     '',     'AR-4', ''    ],
  Evt15: ['',     '',     'AA-1', 'AA-2', 'AA-1', 'AA-1', 'AA-1', 'AA-1', 'AA-1', 'AA-1', 'AA-1', 'AA-1', ''    ],
  Evt16: ['',     'AA-2', 'AA-3', '',     'AA-3', 'AA-3', 'AA-3', 'AA-3', 'AA-3', 'AA-3', 'AA-3', 'AA-3', 'AA-2'],
  Evt17: ['',     'AA-5', 'AA-4', 'AA-4', 'AA-4', 'AA-4', 'AA-4', 'AA-4', 'AA-4', 'AA-4', 'AA-4', 'AA-4', 'AR-5'],
  Evt18: ['',     'AA-2', '',     '',     '',     '',     '',     '',     '',     '',     '',     '',     'AA-2'],
  Evt19: ['',     'AA-1', 'AA-8', '',     'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-8', 'AA-7'],
} as const satisfies Record<string, Row>;

export type Event = keyof typeof TABLE;
export const EVENTS = Object.keys(TABLE) as Event[];

// biome-ignore format: pairs of the standard's tables 9-6 to 9-9
const NEXT_STATE: Record<Action, State> = {
  'AE-1': 'Sta4',  'AE-2': 'Sta5',  'AE-3': 'Sta6', 'AE-4': 'Sta1', 'AE-5': 'Sta2', 'AE-6': 'Sta3', 'AE-7': 'Sta6', 'AE-8': 'Sta13',
  'DT-1': 'Sta6',  'DT-2': 'Sta6',
  'AR-1': 'Sta7',  'AR-2': 'Sta8',  'AR-3': 'Sta1', 'AR-4': 'Sta13', 'AR-5': 'Sta1', 'AR-6': 'Sta7', 'AR-7': 'Sta8', 'AR-8': 'Sta9', 'AR-9': 'Sta11', 'AR-10': 'Sta12',
  'AA-1': 'Sta13', 'AA-2': 'Sta1',  'AA-3': 'Sta1', 'AA-4': 'Sta1', 'AA-5': 'Sta1', 'AA-6': 'Sta13', 'AA-7': 'Sta13', 'AA-8': 'Sta13',
};

/** The action for an event in a state, or undefined where the standard's table is empty. */
export function actionFor(event: Event, state: State): Action | undefined {
  return TABLE[event][STATES.indexOf(state)] || undefined;
}

/**
 * The state after an action. Two depend on more than the action: AE-6 goes to Sta13 when the provider itself rejects
 * the request, and AR-8 (release collision) goes to Sta9 for the association requestor, to Sta10 for the acceptor.
 */
export function nextState(action: Action, role: 'requestor' | 'acceptor'): State {
  if (action === 'AR-8') return role === 'requestor' ? 'Sta9' : 'Sta10';
  return NEXT_STATE[action];
}
