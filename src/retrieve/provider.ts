/** Query and retrieval over the archive, for the peers that are allowed to. */
import type { Archive } from '../archive/index.js';
import { type DataSet, keywordOf, nativeAlternatives, strings } from '../dicom/index.js';
import {
  type DimseService,
  type DimseTarget,
  type PeerInformation,
  QueryRefused,
  type QueryRoot,
  QueryStatus,
  queryRetrieveProviders,
  type RetrievedInstance,
} from '../dimse/index.js';
import { WITHHELD } from '../series/index.js';
import { IdentifierError, retrieveKeys, type UniqueKeys } from './model.js';
import { search } from './search.js';
import { createTranscoder, type Transcoder } from './transcoder.js';

export interface RetrieveOptions {
  archive: Archive;
  /** Ours: the Retrieve AE Title of every answer. */
  aeTitle: string;
  permits(peer: PeerInformation): Promise<boolean>;
  targetOf(aeTitle: string): DimseTarget | undefined;
  /** For the audit trail; the query is text that may name a patient. */
  onQuery?(about: { peer: PeerInformation; sopClass: string; query: string }): void;
  /** For the audit trail: instances are about to leave, and have left or not. */
  onTransfer?(about: Transfer): void;
}

/** Instances that a peer retrieves. */
export interface Transfer {
  stage: 'begun' | 'over';
  peer: PeerInformation;
  /** AE title that they go to. */
  destination: string;
  /** SOP Instance UIDs. */
  instances: readonly string[];
  /** Of them, when it is over. */
  failed: number;
}

/** The keys of an identifier that have a value, by keyword. */
function queryText(identifier: DataSet): string {
  return [...identifier.elements.keys()]
    .map((tag) => [keywordOf(tag) ?? tag.toString(16).padStart(8, '0'), strings(identifier, tag)] as const)
    .filter(([, values]) => values.some((value) => value !== ''))
    .map(([keyword, values]) => `${keyword}=${values.join('\\')}`)
    .join('\n');
}

/** `close` ends the thread that writes objects in other transfer syntaxes. */
export function retrieveServices(o: RetrieveOptions): { services: DimseService[]; close(): Promise<void> } {
  const { archive } = o;
  const transcoder = createTranscoder();
  const services = queryRetrieveProviders({
    permits: o.permits,
    targetOf: o.targetOf,
    async *find(identifier, root, signal) {
      try {
        yield* search(archive, identifier, { root, aeTitle: o.aeTitle, signal });
      } catch (error) {
        throw refusalOf(error);
      }
    },
    select: (identifier, root) => select(archive, transcoder, identifier, root),
    onQuery: ({ peer, sopClass, identifier }) =>
      o.onQuery?.({ peer, sopClass, query: queryText(identifier) }),
    onRetrieval: ({ peer, destination, instances }) =>
      o.onTransfer?.({ stage: 'begun', peer, destination, instances: sopsOf(instances), failed: 0 }),
    onRetrieved({ peer, destination, instances, completed, failed, warning }) {
      o.onTransfer?.({ stage: 'over', peer, destination, instances: sopsOf(instances), failed });
      archive.db.transaction(() =>
        archive.audit('instances retrieved', {
          detail: `by ${peer.callingAeTitle} (${peer.remoteAddress}) to ${destination}: ${completed} sent, ${warning} with warnings, ${failed} failed`,
        }),
      );
    },
  });
  return { services, close: () => transcoder.close() };
}

function sopsOf(instances: readonly RetrievedInstance[]): string[] {
  return instances.map(({ sopInstanceUid }) => sopInstanceUid);
}

function refusalOf(error: unknown): unknown {
  if (!(error instanceof IdentifierError)) return error;
  return new QueryRefused(QueryStatus.identifierDoesNotMatch, error.message);
}

/** Every current instance under the identifier's unique keys, but for what a person's decision keeps here. */
function select(
  archive: Archive,
  transcoder: Transcoder,
  identifier: DataSet,
  root: QueryRoot,
): RetrievedInstance[] {
  let keys: UniqueKeys;
  try {
    keys = retrieveKeys(identifier, root);
  } catch (error) {
    throw refusalOf(error);
  }
  const json = (list: string[] | undefined) => (list === undefined ? null : JSON.stringify(list));
  const rows = archive.db.all<{ id: number; sop: string; sop_class: string; transfer_syntax: string }>(
    `SELECT i.id, i.sop, i.sop_class, i.transfer_syntax
     FROM instances i JOIN series s ON s.id = i.series_id JOIN studies st ON st.study = s.study
     WHERE i.current = 1 AND NOT ${WITHHELD}
       AND (?1 IS NULL OR st.patient_id IN (SELECT value FROM json_each(?1)))
       AND (?2 IS NULL OR st.study IN (SELECT value FROM json_each(?2)))
       AND (?3 IS NULL OR s.series IN (SELECT value FROM json_each(?3)))
       AND (?4 IS NULL OR i.sop IN (SELECT value FROM json_each(?4)))
     ORDER BY s.id, i.id`,
    json(keys.patients),
    json(keys.studies),
    json(keys.series),
    json(keys.instances),
  );
  return rows.map(({ id, sop, sop_class: sopClassUid, transfer_syntax: stored }) => ({
    sopClassUid,
    sopInstanceUid: sop,
    transferSyntaxUid: stored,
    alternatives: nativeAlternatives(stored),
    open: (wanted) => open(archive, transcoder, id, stored, wanted),
  }));
}

async function open(
  archive: Archive,
  transcoder: Transcoder,
  id: number,
  stored: string,
  wanted: string,
): Promise<Buffer | AsyncIterable<Buffer>> {
  const instance = archive.get(id)!;
  const damage = await archive.check(instance);
  if (damage !== undefined) throw new Error(damage);
  if (wanted === stored) return archive.readDataSet(instance);
  return transcoder.open(instance.path, wanted);
}
