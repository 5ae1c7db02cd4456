/** Storage service class as user (PS3.4 annex B): instances to a peer, with an outcome for every one. */
import type { Association } from './association.js';
import { CommandField } from './command-set.js';
import { DimseError } from './errors.js';
import { MAX_CONTEXTS } from './negotiation.js';
import { associate, contextFor, type DimseTarget, peerName, refusalOf, timeoutsOf } from './requestor.js';
import { sopClassName } from './sop-classes.js';
import { meaningOf } from './status.js';
import { transferSyntaxName } from './transfer-syntaxes.js';

export interface OutgoingInstance {
  sopClassUid: string;
  sopInstanceUid: string;
  transferSyntaxUid: string;
  /** Further syntaxes in which it can be opened, proposed as well: for a peer that does not accept the first. */
  alternatives?: readonly string[];
  /**
   * The data set's bytes, without preamble and meta header, encoded in the syntax that the peer accepted:
   * `transferSyntaxUid`, or one of `alternatives`. Called when its turn comes.
   */
  open(transferSyntaxUid: string): Promise<Buffer | AsyncIterable<Buffer>>;
}

/**
 * - `accepted`: the peer answered Success
 * - `warning`: the peer stored it and says that something is different (status Bxxx)
 * - `refused`: the peer said no, to the association, to the presentation context, or to the instance
 * - `lost`: nobody can say that the peer has it: the association ended first, or the data could not be read here
 */
export interface StoreOutcome {
  sopInstanceUid: string;
  outcome: 'accepted' | 'warning' | 'refused' | 'lost';
  status?: number;
  /** What happened, for a person. */
  message: string;
  /** True when the same instance may be accepted later. */
  transient: boolean;
  /** True when its C-STORE-RQ was begun. */
  attempted: boolean;
  /** Error Comment of the peer. Free text that may name a patient: for the page, never for a log. */
  errorComment?: string;
}

export interface StoreOptions {
  /** Aborts the association; what has no outcome yet is `lost`. */
  signal?: AbortSignal;
  /** Called as each outcome becomes known. */
  onOutcome?(outcome: StoreOutcome): void;
  /** The C-MOVE that caused these C-STOREs (PS3.7 section 9.1.1.1). */
  moveOriginator?: { aeTitle: string; messageId: number };
}

const PRIORITY_MEDIUM = 0x0000;

/** Instances in the order given, split so that no group needs more than 128 presentation contexts. */
function groupsOf(instances: readonly OutgoingInstance[]): number[][] {
  const groups: number[][] = [];
  const groupOfContext = new Map<string, number>();
  let last = 0;
  let used = new Set<string>();
  instances.forEach((instance, index) => {
    const first = contextKey(instance.sopClassUid, instance.transferSyntaxUid);
    let group = groupOfContext.get(first);
    if (group === undefined) {
      const keys = syntaxesOf(instance).map((syntax) => contextKey(instance.sopClassUid, syntax));
      if (new Set([...used, ...keys]).size > MAX_CONTEXTS) {
        last += 1;
        used = new Set();
      }
      for (const key of keys) used.add(key);
      group = last;
      groupOfContext.set(first, group);
    }
    groups[group] ??= [];
    groups[group].push(index);
  });
  return groups;
}

function syntaxesOf({ transferSyntaxUid, alternatives = [] }: OutgoingInstance): string[] {
  return [transferSyntaxUid, ...alternatives];
}

function contextKey(sopClassUid: string, transferSyntaxUid: string): string {
  return `${sopClassUid} ${transferSyntaxUid}`;
}

function contextsOf(
  instances: readonly OutgoingInstance[],
): { abstractSyntax: string; transferSyntaxes: string[] }[] {
  const contexts = new Map<string, { abstractSyntax: string; transferSyntaxes: string[] }>();
  for (const instance of instances) {
    const { sopClassUid } = instance;
    for (const syntax of syntaxesOf(instance)) {
      contexts.set(contextKey(sopClassUid, syntax), {
        abstractSyntax: sopClassUid,
        transferSyntaxes: [syntax],
      });
    }
  }
  return [...contexts.values()];
}

function asDimseError(error: unknown): DimseError {
  if (error instanceof DimseError) return error;
  return new DimseError('local', error instanceof Error ? error.message : String(error), {
    transient: true,
    cause: error,
  });
}

/** Collects outcomes; an instance has exactly one. */
class Outcomes {
  private readonly outcomes: (StoreOutcome | undefined)[];

  constructor(
    private readonly instances: readonly OutgoingInstance[],
    private readonly onOutcome: StoreOptions['onOutcome'],
  ) {
    this.outcomes = new Array(instances.length).fill(undefined);
  }

  has(index: number): boolean {
    return this.outcomes[index] !== undefined;
  }

  set(index: number, outcome: Omit<StoreOutcome, 'sopInstanceUid'>): void {
    if (this.has(index)) return;
    const known = { sopInstanceUid: this.instances[index]!.sopInstanceUid, ...outcome };
    this.outcomes[index] = known;
    this.onOutcome?.(known);
  }

  /** The association did not come about, or ended: a rejection is a refusal, everything else a loss. */
  fail(index: number, error: DimseError, attempted: boolean): void {
    const outcome = error.code === 'rejected' && !attempted ? 'refused' : 'lost';
    this.set(index, { outcome, message: error.message, transient: error.transient, attempted });
  }

  all(): StoreOutcome[] {
    return this.outcomes.map((outcome, index) => {
      if (outcome !== undefined) return outcome;
      throw new Error(`instance ${this.instances[index]!.sopInstanceUid} has no outcome`);
    });
  }
}

/**
 * Sends instances over one association (over several when they need more than 128 presentation contexts, one after the
 * other). Never rejects: the result has one outcome for each instance, in the order given.
 */
export async function storeInstances(
  target: DimseTarget,
  instances: readonly OutgoingInstance[],
  options: StoreOptions = {},
): Promise<StoreOutcome[]> {
  const outcomes = new Outcomes(instances, options.onOutcome);
  let failure: DimseError | undefined;
  for (const group of groupsOf(instances)) {
    failure ??= await sendGroup(target, instances, group, outcomes, options);
    if (failure !== undefined) for (const index of group) outcomes.fail(index, failure, false);
  }
  return outcomes.all();
}

/** Sends a group, over a new association after a data set could not be read to its end. Returns why it had to give up. */
async function sendGroup(
  target: DimseTarget,
  instances: readonly OutgoingInstance[],
  group: readonly number[],
  outcomes: Outcomes,
  options: StoreOptions,
): Promise<DimseError | undefined> {
  let left = [...group];
  while (left.length > 0) {
    let association: Association;
    try {
      const contexts = contextsOf(left.map((index) => instances[index]!));
      association = await associate(
        target,
        contexts,
        options.signal === undefined ? {} : { signal: options.signal },
      );
    } catch (error) {
      return asDimseError(error);
    }
    const failure = await sendOver(association, target, instances, left, outcomes, options);
    if (association.isEnded) await association.whenEnded;
    else await association.release(timeoutsOf(target).releaseMs);
    left = left.filter((index) => !outcomes.has(index));
    if (failure !== undefined && failure.code !== 'local') return failure;
  }
  return undefined;
}

/** Sends over one association, as many at once as negotiated. Returns what ended it early. */
async function sendOver(
  association: Association,
  target: DimseTarget,
  instances: readonly OutgoingInstance[],
  indices: readonly number[],
  outcomes: Outcomes,
  options: StoreOptions,
): Promise<DimseError | undefined> {
  let next = 0;
  let failure: DimseError | undefined;
  const sender = async () => {
    while (next < indices.length && failure === undefined) {
      const index = indices[next]!;
      next += 1;
      const error = await sendOne(association, target, instances[index]!, index, outcomes, options);
      if (failure === undefined || error?.code === 'local') failure = error;
    }
  };
  const senders = Math.min(association.operations, indices.length);
  await Promise.all(Array.from({ length: senders }, sender));
  return failure;
}

/** Sends one instance and notes its outcome. Returns an error when the association cannot carry another. */
async function sendOne(
  association: Association,
  target: DimseTarget,
  instance: OutgoingInstance,
  index: number,
  outcomes: Outcomes,
  options: StoreOptions,
): Promise<DimseError | undefined> {
  const { sopClassUid, sopInstanceUid, transferSyntaxUid } = instance;
  const context = syntaxesOf(instance)
    .map((syntax) => contextFor(association, sopClassUid, syntax))
    .find((each) => each !== undefined);
  if (context === undefined) {
    const why = refusalOf(association, sopClassUid, transferSyntaxUid);
    outcomes.set(index, {
      outcome: 'refused',
      message: `${peerName(target)} does not accept ${sopClassName(sopClassUid)} in ${transferSyntaxName(transferSyntaxUid)}: ${why}`,
      transient: false,
      attempted: false,
    });
    return undefined;
  }
  let dataSet: Buffer | AsyncIterable<Buffer>;
  try {
    dataSet = await instance.open(context.transferSyntax);
  } catch (error) {
    outcomes.set(index, {
      outcome: 'lost',
      message: `${sopInstanceUid} could not be read: ${asDimseError(error).message}`,
      transient: true,
      attempted: false,
    });
    return undefined;
  }
  try {
    const response = await association.request(
      context.id,
      {
        commandField: CommandField.cStoreRequest,
        affectedSopClassUid: sopClassUid,
        affectedSopInstanceUid: sopInstanceUid,
        priority: PRIORITY_MEDIUM,
        ...(options.moveOriginator && {
          moveOriginatorAeTitle: options.moveOriginator.aeTitle,
          moveOriginatorMessageId: options.moveOriginator.messageId,
        }),
      },
      dataSet,
    );
    outcomes.set(index, {
      ...outcomeOf(target, response.status, response.command.errorComment),
      attempted: true,
    });
    return undefined;
  } catch (error) {
    const failure = asDimseError(error);
    outcomes.fail(index, failure, true);
    return failure;
  }
}

function outcomeOf(
  target: DimseTarget,
  status: number,
  comment: string | undefined,
): Omit<StoreOutcome, 'sopInstanceUid' | 'attempted'> {
  const { outcome, transient, text } = meaningOf(status);
  return {
    outcome,
    status,
    transient,
    message: `${peerName(target)}: ${text}`,
    ...(comment !== undefined && comment !== '' && { errorComment: comment }),
  };
}
