import { items, type JsonDataSet, numberValue, TAG, textValue } from './json-model.js';
import { parseNativeXml } from './native-model.js';

/** What became of one instance: as dimse.StoreOutcome. */
export interface StowOutcome {
  sopInstanceUid: string;
  outcome: 'accepted' | 'warning' | 'refused' | 'lost';
  /** The Failure or Warning Reason, else the HTTP status. */
  status?: number;
  message: string;
  /** Trying again later may help. */
  transient: boolean;
}

/** An outcome that is not yet tied to an instance. */
export type Verdict = Omit<StowOutcome, 'sopInstanceUid'>;

function hex(reason: number): string {
  return `0x${reason.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** PS3.18 table I.2-2: A7xx is a lack of resources and 0110 a processing failure; both may pass. */
function failureVerdict(reason: number | undefined): Verdict {
  if (reason === 0x0111) {
    return {
      outcome: 'warning',
      status: reason,
      message: 'the destination already has it (0x0111)',
      transient: false,
    };
  }
  const transient = reason === undefined || (reason & 0xff00) === 0xa700 || reason === 0x0110;
  const why = reason === undefined ? 'without a reason' : `with failure reason ${hex(reason)}`;
  return {
    outcome: 'refused',
    ...(reason === undefined ? {} : { status: reason }),
    message: `the destination refused it ${why}`,
    transient,
  };
}

/** What a status says about a whole batch when the answer's body does not say it by instance. */
export function statusVerdict(status: number, location: string | undefined): Verdict {
  if (status === 200 || status === 202) {
    return {
      outcome: 'lost',
      status,
      message: `the destination answered ${status} without naming the instance as stored`,
      transient: true,
    };
  }
  if (status >= 300 && status < 400) {
    const where = location === undefined ? 'elsewhere' : `to ${location}`;
    return {
      outcome: 'refused',
      status,
      message: `the destination redirects (${status}) ${where}: configure its real address`,
      transient: false,
    };
  }
  const transient =
    status >= 500 ? status !== 501 && status !== 505 : status === 408 || status === 425 || status === 429;
  const hint = status === 401 || status === 403 ? ': check the credentials in its headers' : '';
  return { outcome: 'refused', status, message: `the destination answered ${status}${hint}`, transient };
}

/** Answers to a batch that one bad instance may have caused, so that the others deserve a request of their own. */
export function worthSplitting(status: number): boolean {
  return status === 400 || status === 409 || status === 413 || status === 422 || status === 500;
}

function parseResponse(text: string): JsonDataSet | undefined {
  const trimmed = text.trimStart();
  if (trimmed.startsWith('<')) return parseNativeXml(trimmed);
  try {
    const json: unknown = JSON.parse(trimmed);
    const first: unknown = Array.isArray(json) ? json[0] : json;
    return typeof first === 'object' && first !== null ? (first as JsonDataSet) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Reads a store response (PS3.18 table I.2-1), in JSON or XML.
 * @returns what it says about each instance that it names; undefined when the text is no such response. An instance
 * that stands in both sequences counts as refused.
 */
export function readStoreResponse(text: string): Map<string, Verdict> | undefined {
  const response = parseResponse(text);
  if (!response) return undefined;
  const verdicts = new Map<string, Verdict>();
  for (const item of items(response, TAG.referencedSopSequence)) {
    const sop = textValue(item, TAG.referencedSopInstanceUid);
    const warning = numberValue(item, TAG.warningReason);
    if (sop === undefined) continue;
    if (warning === undefined || warning === 0) {
      verdicts.set(sop, { outcome: 'accepted', message: 'stored', transient: false });
    } else {
      const message = `stored with warning reason ${hex(warning)}`;
      verdicts.set(sop, { outcome: 'warning', status: warning, message, transient: false });
    }
  }
  for (const item of items(response, TAG.failedSopSequence)) {
    const sop = textValue(item, TAG.referencedSopInstanceUid);
    if (sop !== undefined) verdicts.set(sop, failureVerdict(numberValue(item, TAG.failureReason)));
  }
  return verdicts;
}
