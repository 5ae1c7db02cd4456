import { Status, type StoreRequest, type StoreResponse } from '../dimse/index.js';
import { type Intake, IntakeError } from '../intake/index.js';

/**
 * Answers C-STORE requests: Success once the object is on disk and indexed, else the standard's status.
 * @param instanceBytes a longer data set is refused
 */
export function storeInto(
  intake: Pick<Intake, 'beginDataSet'>,
  instanceBytes: number,
): (request: StoreRequest) => Promise<StoreResponse> {
  return async (request) => {
    const incoming = intake.beginDataSet({
      source: { protocol: 'dimse', peer: request.callingAeTitle, address: request.remoteAddress },
      transferSyntaxUid: request.transferSyntaxUid,
      sopClassUid: request.sopClassUid,
      sopInstanceUid: request.sopInstanceUid,
      ...(request.associationId !== '' && { association: request.associationId }),
    });
    let bytes = 0;
    try {
      for await (const chunk of request.data) {
        bytes += chunk.length;
        if (bytes > instanceBytes) {
          const message = `longer than ${instanceBytes} bytes`;
          await incoming.abort({ code: 'too-large', message: `${message} (limits.instanceBytes)` });
          return { status: Status.outOfResources, errorComment: message };
        }
        await incoming.write(chunk);
      }
    } catch (error) {
      if (!(error instanceof IntakeError)) {
        await incoming.abort();
        throw error;
      }
    }
    try {
      await incoming.commit();
      return { status: Status.success };
    } catch (error) {
      if (!(error instanceof IntakeError)) throw error;
      return { status: error.status, errorComment: error.message.slice(0, 64) };
    }
  };
}
