/** Association negotiation: what is accepted of a proposal (PS3.8 section 7.1.1, PS3.7 annex D.3), and what a requestor proposes. */
import { IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME } from './implementation.js';
import {
  type AssociateAccept,
  type AssociateRequest,
  type ContextResult,
  ContextResultReason,
  DICOM_APPLICATION_CONTEXT,
  type ProposedContext,
  type RoleSelection,
  type SopClassExtended,
  type UserInformation,
} from './pdu.js';
import type { AcceptedContext, DimseService, SupportedSyntax } from './service.js';
import { IMPLICIT_VR_LITTLE_ENDIAN } from './transfer-syntaxes.js';

/** Presentation context ids are odd and at most 255 (PS3.8 section 9.3.2.2). */
export const MAX_CONTEXTS = 128;

export interface Negotiated {
  accept: AssociateAccept;
  contexts: Map<number, AcceptedContext>;
  /** Operations that the requestor may have in progress at once. */
  operations: number;
}

function supportOf(services: readonly DimseService[], abstractSyntax: string): SupportedSyntax | undefined {
  for (const service of services) {
    const supported = service.supports(abstractSyntax);
    if (supported !== undefined) return supported;
  }
  return undefined;
}

/** The requestor's roles that are accepted; without a proposal the requestor is SCU (PS3.7 D.3.3.4). */
function rolesOf(
  proposed: RoleSelection | undefined,
  supported: SupportedSyntax,
): { scu: boolean; scp: boolean } {
  const { scu, scp } = supported.requestorRoles;
  if (proposed === undefined) return { scu, scp: false };
  return { scu: proposed.scu && scu, scp: proposed.scp && scp };
}

function resultOf(
  context: ProposedContext,
  supported: SupportedSyntax | undefined,
  role: RoleSelection | undefined,
): ContextResult {
  const rejected = (result: number): ContextResult => ({
    id: context.id,
    result,
    transferSyntax: context.transferSyntaxes[0] ?? IMPLICIT_VR_LITTLE_ENDIAN,
  });
  if (supported === undefined) return rejected(ContextResultReason.abstractSyntaxNotSupported);
  const usable = context.transferSyntaxes.filter((uid) => supported.transferSyntaxes.has(uid));
  const roles = rolesOf(role, supported);
  const preferred = roles.scp
    ? supported.preferredToRequestor?.find((uid) => usable.includes(uid))
    : undefined;
  const transferSyntax = preferred ?? usable[0];
  if (transferSyntax === undefined) return rejected(ContextResultReason.transferSyntaxesNotSupported);
  if (!roles.scu && !roles.scp) return rejected(ContextResultReason.userRejection);
  return { id: context.id, result: ContextResultReason.acceptance, transferSyntax };
}

/** Window granted: what was asked for, within the limit; 0 asks for no limit. Without the item it is 1 (PS3.7 D.3.3.3). */
function operationsOf(asked: number | undefined, limit: number): number {
  if (asked === undefined) return 1;
  return asked === 0 ? limit : Math.min(asked, limit);
}

/**
 * Answers a proposal. The transfer syntax of a context is the first of the requestor's list that its service
 * supports, so the requestor's preference decides. Every context proposed has a result, in the order proposed.
 */
export function negotiate(
  request: AssociateRequest,
  services: readonly DimseService[],
  limits: { maxPduLength: number; operations: number },
): Negotiated {
  const results: ContextResult[] = [];
  const contexts = new Map<number, AcceptedContext>();
  const roles: RoleSelection[] = [];
  const extended: SopClassExtended[] = [];
  const answered = new Set<string>();
  for (const context of request.contexts) {
    const { abstractSyntax } = context;
    const supported = supportOf(services, abstractSyntax);
    const proposedRole = request.user.roles.find((role) => role.sopClassUid === abstractSyntax);
    const result = resultOf(context, supported, proposedRole);
    results.push(result);
    if (supported === undefined || result.result !== ContextResultReason.acceptance) continue;
    contexts.set(context.id, {
      id: context.id,
      abstractSyntax,
      transferSyntax: result.transferSyntax,
      ...(rolesOf(proposedRole, supported).scp && { requestorIsScp: true }),
    });
    if (answered.has(abstractSyntax)) continue;
    answered.add(abstractSyntax);
    if (proposedRole !== undefined)
      roles.push({ sopClassUid: abstractSyntax, ...rolesOf(proposedRole, supported) });
    const proposedExtension = request.user.extended.find((item) => item.sopClassUid === abstractSyntax);
    const information = proposedExtension && supported.extended?.(proposedExtension.information);
    if (information !== undefined) extended.push({ sopClassUid: abstractSyntax, information });
  }
  const operations = operationsOf(request.user.asynchronousOperations?.invoked, limits.operations);
  const user: UserInformation = { ...userInformation(limits.maxPduLength), roles, extended };
  if (request.user.asynchronousOperations !== undefined) {
    user.asynchronousOperations = { invoked: operations, performed: 1 };
  }
  if (request.user.userIdentity?.responseRequested) user.userIdentityResponse = Buffer.alloc(0);
  const accept: AssociateAccept = {
    protocolVersion: 1,
    calledAeTitle: request.calledAeTitle,
    callingAeTitle: request.callingAeTitle,
    applicationContext: DICOM_APPLICATION_CONTEXT,
    results,
    user,
  };
  return { accept, contexts, operations };
}

/** User information of this implementation, without any optional negotiation. */
export function userInformation(maxPduLength: number): UserInformation {
  return {
    maxPduLength,
    implementationClassUid: IMPLEMENTATION_CLASS_UID,
    implementationVersionName: IMPLEMENTATION_VERSION_NAME,
    roles: [],
    extended: [],
  };
}

/** An abstract syntax to propose; `roles`: ours, where they are not those of a plain SCU (PS3.7 D.3.3.4). */
export interface ProposedSyntax {
  abstractSyntax: string;
  transferSyntaxes: string[];
  roles?: { scu: boolean; scp: boolean };
}

/** A proposal of at most 128 contexts, numbered 1, 3, 5... in the order given. */
export function propose(
  contexts: readonly ProposedSyntax[],
  names: { calledAeTitle: string; callingAeTitle: string },
  limits: { maxPduLength: number; operations: number },
): AssociateRequest {
  if (contexts.length > MAX_CONTEXTS) {
    throw new RangeError(`${contexts.length} presentation contexts, an association carries ${MAX_CONTEXTS}`);
  }
  const user = userInformation(limits.maxPduLength);
  const roles = new Map(contexts.map(({ abstractSyntax, roles: proposed }) => [abstractSyntax, proposed]));
  for (const [sopClassUid, proposed] of roles) if (proposed) user.roles.push({ sopClassUid, ...proposed });
  if (limits.operations !== 1) user.asynchronousOperations = { invoked: limits.operations, performed: 1 };
  return {
    protocolVersion: 1,
    calledAeTitle: names.calledAeTitle,
    callingAeTitle: names.callingAeTitle,
    applicationContext: DICOM_APPLICATION_CONTEXT,
    contexts: contexts.map(({ abstractSyntax, transferSyntaxes }, index) => ({
      id: 2 * index + 1,
      abstractSyntax,
      transferSyntaxes,
    })),
    user,
  };
}
