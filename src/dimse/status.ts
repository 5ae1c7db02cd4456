/** DIMSE status codes (PS3.7 annex C, PS3.4 section B.2.3) and what they mean for whoever sent the request. */

export const Status = {
  success: 0x0000,
  cancel: 0xfe00,
  pending: 0xff00,
  pendingWithWarning: 0xff01,
  sopClassNotSupported: 0x0122,
  notAuthorized: 0x0124,
  noSuchObjectInstance: 0x0112,
  noSuchEventType: 0x0113,
  invalidArgumentValue: 0x0115,
  invalidSopInstance: 0x0117,
  noSuchSopClass: 0x0118,
  classInstanceConflict: 0x0119,
  noSuchAction: 0x0123,
  duplicateInvocation: 0x0210,
  unrecognizedOperation: 0x0211,
  mistypedArgument: 0x0212,
  resourceLimitation: 0x0213,
  processingFailure: 0x0110,
  outOfResources: 0xa700,
  dataSetDoesNotMatchSopClass: 0xa900,
  cannotUnderstand: 0xc000,
  coercionOfDataElements: 0xb000,
  elementsDiscarded: 0xb006,
  dataSetMismatchWarning: 0xb007,
} as const;

export interface StatusMeaning {
  outcome: 'accepted' | 'warning' | 'refused';
  /** For a refusal: whether the same request may succeed later. */
  transient: boolean;
  text: string;
}

const GENERAL: Record<number, { text: string; transient: boolean }> = {
  261: { text: 'no such attribute', transient: false },
  262: { text: 'invalid attribute value', transient: false },
  272: { text: 'processing failure', transient: true },
  273: { text: 'duplicate SOP instance', transient: false },
  274: { text: 'no such SOP instance', transient: false },
  277: { text: 'invalid argument value', transient: false },
  279: { text: 'invalid SOP instance UID', transient: false },
  280: { text: 'no such SOP class', transient: false },
  281: { text: 'class-instance conflict', transient: false },
  288: { text: 'missing attribute', transient: false },
  289: { text: 'missing attribute value', transient: false },
  275: { text: 'no such event type', transient: false },
  291: { text: 'no such action', transient: false },
  290: { text: 'SOP class not supported', transient: false },
  292: { text: 'not authorized', transient: false },
  528: { text: 'duplicate invocation', transient: true },
  529: { text: 'unrecognized operation', transient: false },
  530: { text: 'mistyped argument', transient: false },
  531: { text: 'resource limitation', transient: true },
  65024: { text: 'cancelled', transient: true },
};

const WARNINGS: Record<number, string> = {
  1: 'requested optional attributes are not supported',
  263: 'attribute list error',
  278: 'attribute value out of range',
  45056: 'coercion of data elements',
  45062: 'elements discarded',
  45063: 'data set does not match SOP class',
};

function hex(status: number): string {
  return `0x${status.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** What a C-STORE response status means (PS3.4 table B.2-1): A7xx passes with time, A9xx and Cxxx do not. */
export function meaningOf(status: number): StatusMeaning {
  if (status === Status.success) return { outcome: 'accepted', transient: false, text: 'success' };
  const warning = WARNINGS[status] ?? (status >>> 12 === 0xb ? 'warning' : undefined);
  if (warning !== undefined)
    return { outcome: 'warning', transient: false, text: `${warning} (${hex(status)})` };
  const refused = (text: string, transient: boolean): StatusMeaning => ({
    outcome: 'refused',
    transient,
    text: `${text} (${hex(status)})`,
  });
  if (status >>> 8 === 0xa7) return refused('out of resources', true);
  if (status >>> 8 === 0xa9) return refused('data set does not match SOP class', false);
  if (status >>> 12 === 0xc) return refused('cannot understand the data set', false);
  const general = GENERAL[status];
  return general === undefined ? refused('failure', false) : refused(general.text, general.transient);
}
