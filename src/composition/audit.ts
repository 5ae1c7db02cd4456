import type { Principal } from '../access/index.js';
import type { Archive, Instance, Source } from '../archive/index.js';
import type { AuditTrail, Outcome, Participant, StudyObject } from '../audit/index.js';
import type { Config, DestinationConfig } from '../config/index.js';
import type { Destination } from '../delivery/index.js';
import type { AssociationEvent, AssociationInfo } from '../dimse/index.js';
import type { IncomingInstance, Intake } from '../intake/index.js';
import type { Transfer } from '../retrieve/index.js';
import type { Disclosures, LoginEvents, Refusals } from '../web/index.js';

/** What happens in the server, told to the audit trail in its own terms. */
export interface Auditing extends LoginEvents, Refusals, Disclosures {
  started(): void;
  stopped(): void;
  /** The same intake, whose receipts are recorded. */
  intake(intake: Intake): Intake;
  /** The same destination, whose deliveries are recorded. */
  destination(destination: Destination): Destination;
  association(event: AssociationEvent, info: AssociationInfo): void;
  /** An association or request is over: what it brought is recorded. */
  associationEnded(id: string): void;
  dimseQueried(about: { peer: Peer; sopClass: string; query: string }): void;
  dimseTransfer(about: Transfer): void;
  /** The configuration was read anew. */
  configured(about: { file: string; reason: string; outcome: Outcome; user?: Participant }): void;
  /** Retention is about to remove a series: whose it is, the index will not know any more. */
  removing(about: { study: string; series: string }): void;
  /** It has removed it. */
  removed(about: { study: string; series: string; why: 'age' | 'space' }): void;
}

type Peer = Pick<AssociationInfo, 'callingAeTitle' | 'remoteAddress'>;

/** Study Root Query/Retrieve Information Model - FIND: what QIDO-RS searches (PS3.18 10.6). */
const STUDY_ROOT_FIND = '1.2.840.10008.5.1.4.1.2.2.1';
/** Who goes on looking at one study, searching, or being refused is recorded once in this time. */
const ONCE_IN_MS = 10 * 60_000;
const REMEMBERED = 10_000;

function hostOf(to: DestinationConfig): string {
  return to.dimse?.host ?? new URL(to.dicomweb!.url).hostname;
}

/** Says whether something has not been seen for a while. */
function createNovelty(now: () => number): (key: string) => boolean {
  const seen = new Map<string, number>();
  return (key) => {
    const at = seen.get(key);
    if (at !== undefined && at + ONCE_IN_MS > now()) return false;
    seen.delete(key);
    seen.set(key, now());
    if (seen.size > REMEMBERED) seen.delete(seen.keys().next().value!);
    return true;
  };
}

/** Instances of some studies that are on their way, counted by SOP class. */
interface Batch {
  source: Participant;
  studies: Map<string, Record<string, number>>;
}

export function createAuditing(options: {
  trail: Pick<AuditTrail, 'record'>;
  archive: () => Pick<Archive, 'db' | 'get'>;
  config: () => Pick<Config, 'aeTitle' | 'destinations'>;
  now?: () => number;
}): Auditing {
  const { trail, archive, config } = options;
  const isNew = createNovelty(options.now ?? Date.now);
  const receiving = new Map<string, Batch>();
  const leaving = new Map<string, StudyObject>();
  const self = (): Participant => ({ id: config().aeTitle });

  const objectOf = (study: string, more: Partial<StudyObject> = {}): StudyObject => {
    const row = archive().db.get<{ id: string | null }>(
      'SELECT patient_id AS id FROM studies WHERE study = ?',
      study,
    );
    return { study, patientId: row?.id ?? '', ...more };
  };
  const personOf = (principal: Principal): Participant => ({
    id: principal.name,
    address: principal.address,
  });
  const studyOfSeries = (series: string) =>
    archive().db.get<{ study: string }>(
      'SELECT study FROM series WHERE series = ? ORDER BY id LIMIT 1',
      series,
    )?.study;
  /** The studies of some instances, with how many of each SOP class. */
  const studiesOf = (sops: readonly string[]): Map<string, Record<string, number>> => {
    const studies = new Map<string, Record<string, number>>();
    for (const { study, sopClass, count } of archive().db.all<{
      study: string;
      sopClass: string;
      count: number;
    }>(
      `SELECT s.study, i.sop_class AS sopClass, COUNT(DISTINCT i.sop) AS count
       FROM instances i JOIN series s ON s.id = i.series_id
       WHERE i.current = 1 AND i.sop IN (SELECT value FROM json_each(?)) GROUP BY s.study, i.sop_class`,
      JSON.stringify(sops),
    )) {
      studies.set(study, { ...studies.get(study), [sopClass]: count });
    }
    return studies;
  };
  const transfer = (
    event: 'transfer-begun' | 'transferred',
    about: { source: Participant; destination: Participant; by: 'source' | 'destination' },
    studies: ReadonlyMap<string, Readonly<Record<string, number>>>,
    failed = 0,
  ) => {
    for (const [study, instances] of studies) {
      trail.record({
        event,
        ...about,
        object: objectOf(study, { instances }),
        outcome: failed > 0 ? 'minor-failure' : 'success',
        ...(failed > 0 && { reason: `${failed} instances were not accepted` }),
      });
    }
  };

  return {
    started: () => trail.record({ event: 'start' }),
    stopped: () => trail.record({ event: 'stop' }),

    intake(intake) {
      const received = (from: Source, association: string | undefined, { study, sopClass }: Instance) => {
        const source = { id: from.peer, address: from.address };
        const id = association ?? '';
        const batch = receiving.get(id) ?? { source, studies: new Map() };
        receiving.set(id, batch);
        const counts = batch.studies.get(study);
        if (counts === undefined) {
          const about = { source, destination: self(), by: 'source' as const };
          transfer('transfer-begun', about, new Map([[study, {}]]));
        }
        batch.studies.set(study, { ...counts, [sopClass]: (counts?.[sopClass] ?? 0) + 1 });
        if (association === undefined) this.associationEnded(id);
      };
      const observed = (m: { source: Source; association?: string }, incoming: IncomingInstance) => ({
        write: (chunk: Buffer) => incoming.write(chunk),
        abort: (refused?: { code: string; message: string }) => incoming.abort(refused),
        async commit() {
          const committed = await incoming.commit();
          received(m.source, m.association, committed.instance);
          return committed;
        },
      });
      return {
        beginDataSet: (m) => observed(m, intake.beginDataSet(m)),
        beginFile: (m) => observed(m, intake.beginFile(m)),
        acceptMore: () => intake.acceptMore(),
      };
    },

    associationEnded(id) {
      const batch = receiving.get(id);
      if (!batch) return;
      receiving.delete(id);
      const about = { source: batch.source, destination: self(), by: 'source' as const };
      transfer('transferred', about, batch.studies);
    },

    destination(to) {
      return {
        ...to,
        echo: () => to.echo(),
        async send(instances, sendOptions) {
          const known = config().destinations[to.name];
          const destination = {
            id: known?.dimse?.aeTitle ?? to.name,
            ...(known && { address: hostOf(known) }),
          };
          const about = { source: self(), destination, by: 'source' as const };
          transfer('transfer-begun', about, studiesOf(instances.map(({ sopInstanceUid }) => sopInstanceUid)));
          const outcomes = await to.send(instances, sendOptions);
          const has = outcomes.filter(({ outcome }) => outcome === 'accepted' || outcome === 'warning');
          const all = has.length === 0 ? instances : has;
          const failed = outcomes.length - has.length;
          transfer('transferred', about, studiesOf(all.map(({ sopInstanceUid }) => sopInstanceUid)), failed);
          return outcomes;
        },
      };
    },

    association(event, { callingAeTitle, remoteAddress, reason = '' }) {
      if (event !== 'rejected' || !isNew(`rejected ${callingAeTitle} ${remoteAddress} ${reason}`)) return;
      trail.record({
        event: 'alert',
        type: 'node-authentication',
        user: { id: callingAeTitle, address: remoteAddress },
        what: `dicom:${config().aeTitle}`,
        reason: `association rejected: ${reason}`,
        outcome: 'minor-failure',
      });
    },

    dimseQueried: ({ peer, sopClass, query }) =>
      trail.record({
        event: 'queried',
        user: { id: peer.callingAeTitle, address: peer.remoteAddress },
        sopClass,
        query,
      }),

    dimseTransfer({ stage, peer, destination: id, instances, failed }) {
      const back = id === peer.callingAeTitle;
      const destination = { id, ...(back && { address: peer.remoteAddress }) };
      const about = { source: self(), destination, by: 'destination' as const };
      transfer(stage === 'begun' ? 'transfer-begun' : 'transferred', about, studiesOf(instances), failed);
    },

    loggedIn: ({ name, address }) =>
      trail.record({ event: 'login', user: { id: name, address }, outcome: 'success' }),
    loggedOut: ({ name, address }) =>
      trail.record({ event: 'logout', user: { id: name, address }, outcome: 'success' }),
    loginFailed: ({ name, address, reason }) =>
      trail.record({ event: 'login', user: { id: name, address }, outcome: 'minor-failure', reason }),

    refused({ status, reason, address, name, path }) {
      if (!isNew(`refused ${status} ${address} ${name ?? ''} ${reason}`)) return;
      trail.record({
        event: 'alert',
        type: status === 401 ? 'node-authentication' : 'restricted-function',
        user: { id: name ?? 'unknown', address },
        what: path,
        reason,
        outcome: 'minor-failure',
      });
    },

    viewed(principal, what) {
      const instance = what.instance === undefined ? undefined : archive().get(what.instance);
      const series = what.series ?? instance?.series;
      const study = what.study ?? instance?.study ?? (series && studyOfSeries(series));
      if (study === undefined || !isNew(`viewed ${principal.name} ${study} ${series ?? ''}`)) return;
      const object = objectOf(study, series === undefined ? {} : { series: [series] });
      trail.record({ event: 'viewed', user: personOf(principal), object });
    },

    queried(principal, query) {
      if (!isNew(`queried ${principal.name} ${query}`)) return;
      trail.record({ event: 'queried', user: personOf(principal), sopClass: STUDY_ROOT_FIND, query });
    },

    acted(principal, event, series) {
      const study = studyOfSeries(series);
      if (study === undefined) return;
      trail.record({ event, user: personOf(principal), object: objectOf(study, { series: [series] }) });
    },

    configured({ file, reason, outcome, user }) {
      trail.record({
        event: 'alert',
        type: 'configuration',
        ...(user && { user }),
        what: file,
        reason,
        outcome,
      });
    },

    removing: ({ study, series }) => void leaving.set(series, objectOf(study, { series: [series] })),

    removed({ study, series, why }) {
      const object = leaving.get(series) ?? objectOf(study, { series: [series] });
      leaving.clear();
      const reason = why === 'age' ? 'kept for as long as it is to be kept' : 'removed to make room';
      trail.record({ event: 'deleted', by: self(), object, reason: `retention: ${reason}` });
    },
  };
}
