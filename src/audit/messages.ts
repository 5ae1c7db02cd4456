/** Audit messages: PS3.15 A.5.1 (schema) and A.5.3 (what each message says). */
import { type CodedValue, EVENT_ID, EVENT_TYPE, OBJECT_ID_TYPE, ROLE } from './codes.js';
import { element, escapeXml } from './xml.js';

/** EventOutcomeIndicator: nothing failed, a minor failure (a refusal), a serious one. */
export type Outcome = 'success' | 'minor-failure' | 'serious-failure';

/** A person or a program that took part. */
export interface Participant {
  /** Log-in name, AE title, or name of a token. */
  id: string;
  address?: string;
}

/** What is said about a patient's study. */
export interface StudyObject {
  study: string;
  /** Patient ID (0010,0020); empty where the study has none or is not known any more. */
  patientId: string;
  /** Instances by SOP Class UID. */
  instances?: Readonly<Record<string, number>>;
  /** Series of which something was looked at or changed. */
  series?: readonly string[];
}

export type AuditEvent =
  | { event: 'start' | 'stop' }
  | { event: 'login' | 'logout'; user: Participant; outcome: Outcome; reason?: string }
  | {
      event: 'transfer-begun' | 'transferred';
      source: Participant;
      destination: Participant;
      /** Who began it. */
      by: 'source' | 'destination';
      object: StudyObject;
      outcome: Outcome;
      reason?: string;
    }
  | { event: 'viewed' | 'accept' | 'reject' | 'retry' | 'rate'; user: Participant; object: StudyObject }
  | { event: 'queried'; user: Participant; sopClass: string; query: string }
  | { event: 'deleted'; by: Participant; object: StudyObject; reason: string }
  | {
      event: 'alert';
      type: 'node-authentication' | 'restricted-function' | 'configuration';
      /** Who is the cause, where that is known. */
      user?: Participant;
      /** What was asked for: an address without its query, or a file. */
      what: string;
      reason: string;
      outcome: Outcome;
    };

/** Who writes the trail. */
export interface AuditSource {
  /** Name of this server. */
  id: string;
  aeTitle: string;
  processId: number;
}

const OUTCOMES: Readonly<Record<Outcome, string>> = {
  success: '0',
  'minor-failure': '4',
  'serious-failure': '8',
};

function coded(name: string, { code, meaning, system = 'DCM' }: CodedValue): string {
  return element(name, { 'csd-code': code, codeSystemName: system, originalText: meaning });
}

function identification(
  at: Date,
  id: CodedValue,
  action: 'C' | 'R' | 'U' | 'D' | 'E',
  outcome: Outcome,
  types: readonly CodedValue[] = [],
  reason?: string,
): string {
  return element(
    'EventIdentification',
    {
      EventActionCode: action,
      EventDateTime: at.toISOString(),
      EventOutcomeIndicator: OUTCOMES[outcome],
    },
    coded('EventID', id),
    ...types.map((type) => coded('EventTypeCode', type)),
    ...(reason ? [element('EventOutcomeDescription', {}, escapeXml(reason))] : []),
  );
}

function participant(
  { id, address }: Participant & { alternativeId?: string },
  requestor: boolean,
  role?: CodedValue,
  alternativeId?: string,
): string {
  return element(
    'ActiveParticipant',
    {
      UserID: id,
      AlternativeUserID: alternativeId,
      UserIsRequestor: requestor,
      ...(address && {
        NetworkAccessPointID: address,
        NetworkAccessPointTypeCode: /^[\d.]+$|:/.test(address) ? 2 : 1,
      }),
    },
    ...(role ? [coded('RoleIDCode', role)] : []),
  );
}

/** This server itself. */
function self(source: AuditSource, requestor: boolean, role: CodedValue): string {
  return participant({ id: source.aeTitle }, requestor, role, String(source.processId));
}

function base64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}

function objects(object: StudyObject, lifeCycle?: number): string[] {
  const classes = Object.entries(object.instances ?? {}).map(([uid, count]) =>
    element('SOPClass', { UID: uid, NumberOfInstances: count }),
  );
  const study = element(
    'ParticipantObjectIdentification',
    {
      ParticipantObjectID: object.study,
      ParticipantObjectTypeCode: 2,
      ParticipantObjectTypeCodeRole: 3,
      ParticipantObjectDataLifeCycle: lifeCycle,
    },
    coded('ParticipantObjectIDTypeCode', OBJECT_ID_TYPE.study),
    element('ParticipantObjectName', {}),
    ...(object.series ?? []).map((uid) =>
      element('ParticipantObjectDetail', { type: 'Series Instance UID', value: base64(uid) }),
    ),
    ...(classes.length > 0 ? [element('ParticipantObjectDescription', {}, ...classes)] : []),
  );
  const patient = element(
    'ParticipantObjectIdentification',
    {
      ParticipantObjectID: object.patientId,
      ParticipantObjectTypeCode: 1,
      ParticipantObjectTypeCodeRole: 1,
    },
    coded('ParticipantObjectIDTypeCode', OBJECT_ID_TYPE.patient),
    element('ParticipantObjectName', {}),
  );
  return [study, patient];
}

/** EventIdentification, ActiveParticipants, ParticipantObjectIdentifications: what differs from event to event. */
function contents(of: AuditEvent, source: AuditSource, at: Date): [string, string[], string[]] {
  switch (of.event) {
    case 'start':
    case 'stop':
      return [
        identification(at, EVENT_ID.applicationActivity, 'E', 'success', [EVENT_TYPE[of.event]]),
        [self(source, false, ROLE.application)],
        [],
      ];
    case 'login':
    case 'logout':
      return [
        identification(at, EVENT_ID.userAuthentication, 'E', of.outcome, [EVENT_TYPE[of.event]], of.reason),
        [participant(of.user, true), self(source, false, ROLE.application)],
        [],
      ];
    case 'transfer-begun':
    case 'transferred': {
      const begun = of.event === 'transfer-begun';
      return [
        identification(
          at,
          begun ? EVENT_ID.beginTransferring : EVENT_ID.instancesTransferred,
          begun ? 'E' : 'C',
          of.outcome,
          [],
          of.reason,
        ),
        [
          participant(of.source, of.by === 'source', ROLE.source),
          participant(of.destination, of.by === 'destination', ROLE.destination),
        ],
        objects(of.object),
      ];
    }
    case 'viewed':
      return [
        identification(at, EVENT_ID.instancesAccessed, 'R', 'success'),
        [participant(of.user, true), self(source, false, ROLE.application)],
        objects(of.object, 6),
      ];
    case 'accept':
    case 'reject':
    case 'retry':
    case 'rate':
      return [
        identification(at, EVENT_ID.instancesAccessed, 'U', 'success', [EVENT_TYPE[of.event]]),
        [participant(of.user, true), self(source, false, ROLE.application)],
        objects(of.object, 4),
      ];
    case 'queried':
      return [
        identification(at, EVENT_ID.query, 'E', 'success'),
        [participant(of.user, true, ROLE.source), self(source, false, ROLE.destination)],
        [
          element(
            'ParticipantObjectIdentification',
            {
              ParticipantObjectID: of.sopClass,
              ParticipantObjectTypeCode: 2,
              ParticipantObjectTypeCodeRole: 3,
            },
            coded('ParticipantObjectIDTypeCode', OBJECT_ID_TYPE.sopClass),
            element('ParticipantObjectQuery', {}, base64(of.query)),
          ),
        ],
      ];
    case 'deleted':
      return [
        identification(at, EVENT_ID.studyDeleted, 'D', 'success', [], of.reason),
        [participant(of.by, true)],
        objects(of.object, 15),
      ];
    case 'alert': {
      const type = {
        'node-authentication': EVENT_TYPE.nodeAuthentication,
        'restricted-function': EVENT_TYPE.restrictedFunction,
        configuration: EVENT_TYPE.softwareConfiguration,
      }[of.type];
      return [
        identification(at, EVENT_ID.securityAlert, 'E', of.outcome, [type], of.reason),
        [self(source, false, ROLE.application), ...(of.user ? [participant(of.user, true)] : [])],
        [
          element(
            'ParticipantObjectIdentification',
            {
              ParticipantObjectID: of.what,
              ParticipantObjectTypeCode: 2,
              ParticipantObjectTypeCodeRole: 13,
            },
            coded('ParticipantObjectIDTypeCode', OBJECT_ID_TYPE.uri),
            element('ParticipantObjectName', {}),
            element('ParticipantObjectDetail', { type: 'Alert Description', value: base64(of.reason) }),
          ),
        ],
      ];
    }
  }
}

/** One message, on one line and without an XML declaration. */
export function auditMessage(of: AuditEvent, source: AuditSource, at: Date): string {
  const [event, participants, about] = contents(of, source, at);
  return element(
    'AuditMessage',
    {},
    event,
    ...participants,
    element(
      'AuditSourceIdentification',
      { AuditSourceID: source.id },
      element('AuditSourceTypeCode', { 'csd-code': 4 }),
    ),
    ...about,
  );
}
