/** Query/Retrieve service class as user (PS3.4 annex C), study root: C-FIND, and C-MOVE or C-GET of what was found. */
import { type DataSet, isNative, type OutgoingElement, parseDataSet } from '../dicom/index.js';
import type { Association } from './association.js';
import { CommandField, type CommandSet } from './command-set.js';
import { DimseError } from './errors.js';
import { encodeIdentifier, IDENTIFIER_TRANSFER_SYNTAXES, textElement } from './identifier.js';
import { MAX_CONTEXTS, type ProposedSyntax } from './negotiation.js';
import { QueryStatus } from './query-retrieve.js';
import { associate, contextFor, type DimseTarget, peerName, timeoutsOf } from './requestor.js';
import type { DimseService, ResponseMessage } from './service.js';
import { STORAGE_SOP_CLASSES } from './sop-classes.js';
import { meaningOf, Status } from './status.js';
import { type StorageProviderOptions, storageProvider } from './storage-scp.js';
import {
  EXPLICIT_VR_LITTLE_ENDIAN,
  IMPLICIT_VR_LITTLE_ENDIAN,
  STORED_TRANSFER_SYNTAXES,
} from './transfer-syntaxes.js';

const STUDY_ROOT_FIND = '1.2.840.10008.5.1.4.1.2.2.1';
const STUDY_ROOT_MOVE = '1.2.840.10008.5.1.4.1.2.2.2';
const STUDY_ROOT_GET = '1.2.840.10008.5.1.4.1.2.2.3';
const PRIORITY_MEDIUM = 0x0000;
const SPECIFIC_CHARACTER_SET = 0x00080005;
const QUERY_RETRIEVE_LEVEL = 0x00080052;
const STUDY_INSTANCE_UID = 0x0020000d;
const SERIES_INSTANCE_UID = 0x0020000e;

/** Silence of an archive that fetches from tape before it sends: time-outs of retrievals, ms. */
const PATIENCE_MS = 600_000;

/** A key of a query: an empty value asks for the attribute without matching it. */
export interface QueryKey {
  tag: number;
  vr: string;
  value: string;
}

export interface FindOptions {
  signal?: AbortSignal;
  /** Matches after which the query is given up. Default 10,000. */
  limit?: number;
}

/**
 * Asks for the entities of a level that match.
 * @throws DimseError: `status` when the peer refuses the query or fails at it, `local` with more matches than `limit`;
 * else as `associate`
 */
export async function find(
  target: DimseTarget,
  level: 'STUDY' | 'SERIES' | 'IMAGE',
  keys: readonly QueryKey[],
  options: FindOptions = {},
): Promise<DataSet[]> {
  const { signal, limit = 10_000 } = options;
  const found: DataSet[] = [];
  await withAssociation(target, [identifierContext(STUDY_ROOT_FIND)], { signal }, async (association) => {
    const context = required(target, association, STUDY_ROOT_FIND, 'queries (C-FIND, study root)');
    let tooMany = false;
    const response = await association
      .request(
        context.id,
        request(CommandField.cFindRequest, STUDY_ROOT_FIND),
        encodeIdentifier(identifierOf(level, keys), context.transferSyntax),
        ({ dataSet }) => {
          if (dataSet === undefined || tooMany) return;
          found.push(parseDataSet(dataSet, context.transferSyntax));
          tooMany = found.length > limit;
          if (tooMany) association.abort(`more than ${limit} matches`);
        },
      )
      .catch((error: unknown) => {
        if (!tooMany) throw error;
        throw new DimseError(
          'local',
          `${peerName(target)} found more than ${limit} matches: narrow the query`,
          {
            transient: false,
          },
        );
      });
    if (response.status !== Status.success) throw refused(target, 'C-FIND', response);
  });
  return found;
}

/** What of a retrieval was sent, as the peer counts it. */
export interface Retrieved {
  completed: number;
  failed: number;
  warning: number;
}

export interface RetrievalOptions {
  signal?: AbortSignal;
  /** Called as the peer reports. */
  onProgress?(so: Retrieved): void;
}

/** A study, or one series of it. */
export interface RetrievalKeys {
  study: string;
  series?: string;
}

/**
 * Has a study or series sent to the node that the peer knows as `destination`.
 * @throws DimseError: `status` when the peer did not send everything; else as `associate`
 */
export async function move(
  target: DimseTarget,
  destination: string,
  keys: RetrievalKeys,
  options: RetrievalOptions = {},
): Promise<Retrieved> {
  const patient = { ...target, timeouts: { responseMs: PATIENCE_MS, ...target.timeouts } };
  return withAssociation(patient, [identifierContext(STUDY_ROOT_MOVE)], options, async (association) => {
    const context = required(target, association, STUDY_ROOT_MOVE, 'retrieval (C-MOVE, study root)');
    const command = { ...request(CommandField.cMoveRequest, STUDY_ROOT_MOVE), moveDestination: destination };
    return retrieve(target, association, context, command, keys, options);
  });
}

/**
 * Takes a study or series on the association that asks for it; every object goes to `store.onStore`.
 * @throws DimseError: `status` when the peer did not send everything; else as `associate`
 */
export async function get(
  target: DimseTarget,
  keys: RetrievalKeys,
  store: Pick<StorageProviderOptions, 'onStore'>,
  options: RetrievalOptions = {},
): Promise<Retrieved> {
  const patient = { ...target, timeouts: { responseMs: PATIENCE_MS, ...target.timeouts } };
  const proposed = [identifierContext(STUDY_ROOT_GET), ...storageContexts()];
  const services = [storageProvider(store)];
  return withAssociation(patient, proposed, { ...options, services }, async (association) => {
    const context = required(target, association, STUDY_ROOT_GET, 'retrieval (C-GET, study root)');
    const command = request(CommandField.cGetRequest, STUDY_ROOT_GET);
    return retrieve(target, association, context, command, keys, options);
  });
}

/** MR Image, Enhanced MR Image and Legacy Converted Enhanced MR Image Storage. */
const MR_CLASSES = ['4', '4.1', '4.4'].map((suffix) => `1.2.840.10008.5.1.4.1.1.${suffix}`);
/** What else an MR study consists of: MR, secondary captures, presentation states, registrations, segmentations, documents. */
const IN_MR_STUDIES = /^1\.2\.840\.10008\.5\.1\.4\.1\.1\.(4|7|11|30|66|67|68|88|104)(\.|$)/;

/**
 * One presentation context takes one transfer syntax: MR classes have one for each compressed syntax, so that objects
 * can come as they are stored; the other classes have one in all syntaxes, as many as there is room for.
 */
function storageContexts(): ProposedSyntax[] {
  const roles = { scu: false, scp: true };
  const native = [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN];
  const compressed = [...STORED_TRANSFER_SYNTAXES.keys()].filter((uid) => !isNative(uid));
  const others = [...STORAGE_SOP_CLASSES.keys()].filter((uid) => !MR_CLASSES.includes(uid));
  const ranked = [
    ...others.filter((uid) => IN_MR_STUDIES.test(uid)),
    ...others.filter((uid) => !IN_MR_STUDIES.test(uid)),
  ];
  return [
    ...MR_CLASSES.map((abstractSyntax) => ({ abstractSyntax, transferSyntaxes: native, roles })),
    ...MR_CLASSES.flatMap((abstractSyntax) =>
      compressed.map((uid) => ({ abstractSyntax, transferSyntaxes: [uid], roles })),
    ),
    ...ranked.map((abstractSyntax) => ({
      abstractSyntax,
      transferSyntaxes: [...native, ...compressed],
      roles,
    })),
  ].slice(0, MAX_CONTEXTS - 1);
}

function identifierContext(abstractSyntax: string): ProposedSyntax {
  return { abstractSyntax, transferSyntaxes: [...IDENTIFIER_TRANSFER_SYNTAXES] };
}

function request(commandField: number, sopClass: string): Omit<CommandSet, 'messageId' | 'hasDataSet'> {
  return { commandField, affectedSopClassUid: sopClass, priority: PRIORITY_MEDIUM };
}

function identifierOf(level: string, keys: readonly QueryKey[]): OutgoingElement[] {
  const elements: OutgoingElement[] = keys.map(({ tag, vr, value }) => ({
    tag,
    vr,
    bytes: Buffer.from(value),
  }));
  elements.push(textElement(QUERY_RETRIEVE_LEVEL, 'CS', level));
  if (elements.some(({ bytes }) => bytes?.some((byte) => byte > 0x7e)))
    elements.push(textElement(SPECIFIC_CHARACTER_SET, 'CS', 'ISO_IR 192'));
  return elements;
}

async function retrieve(
  target: DimseTarget,
  association: Association,
  context: { id: number; transferSyntax: string },
  command: Omit<CommandSet, 'messageId' | 'hasDataSet'>,
  { study, series }: RetrievalKeys,
  options: RetrievalOptions,
): Promise<Retrieved> {
  const keys = [
    textElement(QUERY_RETRIEVE_LEVEL, 'CS', series === undefined ? 'STUDY' : 'SERIES'),
    textElement(STUDY_INSTANCE_UID, 'UI', study),
    ...(series === undefined ? [] : [textElement(SERIES_INSTANCE_UID, 'UI', series)]),
  ];
  let last: Retrieved = { completed: 0, failed: 0, warning: 0 };
  const response = await association.request(
    context.id,
    command,
    encodeIdentifier(keys, context.transferSyntax),
    (pending) => {
      last = countsOf(pending.command, last);
      options.onProgress?.(last);
    },
  );
  const counts = countsOf(response.command, last);
  options.onProgress?.(counts);
  if (response.status === Status.success && counts.failed === 0) return counts;
  // All there, with remarks of the one that stored it: of us.
  if (response.status === QueryStatus.suboperationsWithFailures && counts.failed === 0) return counts;
  throw refused(target, command.moveDestination === undefined ? 'C-GET' : 'C-MOVE', response, counts);
}

/** Counts may be left out of a response (PS3.7 9.1.4.1): then those before hold. */
function countsOf(command: CommandSet, before: Retrieved): Retrieved {
  return {
    completed: command.completedSuboperations ?? before.completed,
    failed: command.failedSuboperations ?? before.failed,
    warning: command.warningSuboperations ?? before.warning,
  };
}

/** Meanings of PS3.4 C.4.1.1.4, C.4.2.1.5 and C.4.3.1.4; `transient` where trying again may help. */
const MEANINGS: Readonly<Record<number, { text: string; transient: boolean }>> = {
  [QueryStatus.moveDestinationUnknown]: {
    text: 'the move destination is unknown there: add this node, by the AE title that the source is asked to send to, with its host and port',
    transient: false,
  },
  [QueryStatus.identifierDoesNotMatch]: {
    text: 'the query does not fit its information model',
    transient: false,
  },
  [QueryStatus.unableToPerformSuboperations]: { text: 'it could not send', transient: true },
  [QueryStatus.suboperationsWithFailures]: { text: 'it could not send everything', transient: true },
  42753: { text: 'it could not count what matches', transient: true },
  42752: { text: 'out of resources', transient: true },
};

function refused(
  target: DimseTarget,
  operation: string,
  { status }: ResponseMessage,
  counts?: Retrieved,
): DimseError {
  const code = `0x${status.toString(16).toUpperCase().padStart(4, '0')}`;
  // Cxxx: unable to process, for whatever reason of the moment.
  const known =
    MEANINGS[status] ??
    (status >>> 12 === 0xc ? { text: 'unable to process', transient: true } : meaningOf(status));
  const sent =
    counts === undefined ? '' : ` (${counts.completed + counts.warning} sent, ${counts.failed} failed)`;
  return new DimseError(
    'status',
    `${peerName(target)} answered ${operation} with ${code}: ${known.text}${sent}`,
    {
      transient: known.transient,
      status,
    },
  );
}

function required(
  target: DimseTarget,
  association: Association,
  sopClass: string,
  what: string,
): { id: number; transferSyntax: string } {
  const context = contextFor(association, sopClass);
  if (context !== undefined) return context;
  throw new DimseError('not-accepted', `${peerName(target)} does not offer ${what}`, { transient: false });
}

async function withAssociation<T>(
  target: DimseTarget,
  contexts: readonly ProposedSyntax[],
  options: { signal?: AbortSignal | undefined; services?: readonly DimseService[] },
  work: (association: Association) => Promise<T>,
): Promise<T> {
  const { signal, services } = options;
  const association = await associate(target, contexts, {
    ...(signal !== undefined && { signal }),
    ...(services !== undefined && { services }),
  });
  try {
    return await work(association);
  } finally {
    if (association.isEnded) await association.whenEnded;
    else await association.release(timeoutsOf(target).releaseMs);
  }
}
