/** Whether an association request is let in: names, hosts and limits, each with the standard's reject (PS3.8 table 9-21). */
import { type AssociateReject, type AssociateRequest, DICOM_APPLICATION_CONTEXT } from './pdu.js';
import type { PeerTable } from './peers.js';

/** A rejection and what the log says about it, which may be more than the peer learns. */
export interface Refusal {
  reject: AssociateReject;
  reason: string;
}

const PERMANENT = 1;
const TRANSIENT = 2;
const SERVICE_USER = 1;
const PROVIDER_ACSE = 2;
const PROVIDER_PRESENTATION = 3;

const permanent = (source: number, reasonCode: number, reason: string): Refusal => ({
  reject: { result: PERMANENT, source, reason: reasonCode },
  reason,
});

/** Rejected-transient, local limit exceeded: the peer tries again later. */
export function localLimit(reason: string): Refusal {
  return { reject: { result: TRANSIENT, source: PROVIDER_PRESENTATION, reason: 2 }, reason };
}

/** Rejected-transient, temporary congestion: busy, or short of disk. */
export function congestion(reason: string): Refusal {
  return { reject: { result: TRANSIENT, source: PROVIDER_PRESENTATION, reason: 1 }, reason };
}

/** The peer's maximum PDU length leaves no room for data. */
export function unusablePduLength(reason: string): Refusal {
  return permanent(PROVIDER_ACSE, 1, reason);
}

/** Checks what does not depend on load: protocol version, application context, called and calling AE title, host. */
export async function checkNames(
  request: AssociateRequest,
  remoteAddress: string,
  options: { aeTitle: string; anyCalledAeTitle: boolean; peers: PeerTable },
): Promise<Refusal | undefined> {
  if ((request.protocolVersion & 1) === 0) {
    return permanent(PROVIDER_ACSE, 2, `protocol version ${request.protocolVersion} not supported`);
  }
  if (request.applicationContext !== DICOM_APPLICATION_CONTEXT) {
    return permanent(SERVICE_USER, 2, `application context ${request.applicationContext} not supported`);
  }
  if (!options.anyCalledAeTitle && request.calledAeTitle !== options.aeTitle) {
    return permanent(SERVICE_USER, 7, `called AE title ${request.calledAeTitle} is not ${options.aeTitle}`);
  }
  const peer = await options.peers.check(request.callingAeTitle, remoteAddress);
  if (peer !== 'known') {
    const what =
      peer === 'unknown host' ? `may not call from ${remoteAddress}` : 'is not configured as a peer';
    return permanent(SERVICE_USER, 3, `calling AE title ${request.callingAeTitle} ${what}`);
  }
  return undefined;
}
