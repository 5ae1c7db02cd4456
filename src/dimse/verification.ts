/** Verification service class (PS3.4 annex A): C-ECHO as provider and as user. */
import { CommandField } from './command-set.js';
import { DimseError } from './errors.js';
import { associate, contextFor, type DimseTarget, peerName, timeoutsOf } from './requestor.js';
import type { DimseService } from './service.js';
import { VERIFICATION_SOP_CLASS } from './sop-classes.js';
import { meaningOf, Status } from './status.js';
import { EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN } from './transfer-syntaxes.js';

const TRANSFER_SYNTAXES = new Set([IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN]);

/** C-ECHO SCP: answers Success. */
export const verificationProvider: DimseService = {
  name: 'Verification',
  commands: [CommandField.cEchoRequest],
  supports: (abstractSyntax) =>
    abstractSyntax === VERIFICATION_SOP_CLASS
      ? { transferSyntaxes: TRANSFER_SYNTAXES, requestorRoles: { scu: true, scp: false } }
      : undefined,
  handle: () => Promise.resolve({ status: Status.success }),
};

/**
 * Associates, sends C-ECHO-RQ and releases (PS3.7 section 9.1.5). Throws DimseError with a message that names the
 * peer and says what happened.
 */
export async function echo(target: DimseTarget, options: { signal?: AbortSignal } = {}): Promise<void> {
  const association = await associate(
    target,
    [{ abstractSyntax: VERIFICATION_SOP_CLASS, transferSyntaxes: [IMPLICIT_VR_LITTLE_ENDIAN] }],
    options,
  );
  try {
    const context = contextFor(association, VERIFICATION_SOP_CLASS);
    if (context === undefined) {
      throw new DimseError('not-accepted', `${peerName(target)} does not accept Verification (C-ECHO)`, {
        transient: false,
      });
    }
    const response = await association.request(context.id, {
      commandField: CommandField.cEchoRequest,
      affectedSopClassUid: VERIFICATION_SOP_CLASS,
    });
    if (response.status !== Status.success) {
      const meaning = meaningOf(response.status);
      throw new DimseError('status', `${peerName(target)} answered C-ECHO with ${meaning.text}`, {
        transient: meaning.transient,
        status: response.status,
      });
    }
  } finally {
    await association.release(timeoutsOf(target).releaseMs);
  }
}
