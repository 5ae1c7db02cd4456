/**
 * Keeps ONNX Runtime from reporting: since 1.29 its binaries for Linux and macOS send what they run (model names, digests,
 * devices, an identifier that they keep in the home folder) to their maker, unless this variable stands in the process's
 * environment before the library is loaded. A thread has a copy of the environment that the library never sees, so the
 * thread that starts others must have been here first.
 *
 * @throws Error in a thread whose process did not come through here
 */
import { isMainThread } from 'node:worker_threads';

const VARIABLE = 'ORT_DISABLE_TELEMETRY';

if (isMainThread) process.env[VARIABLE] = '1';
else if (process.env[VARIABLE] !== '1') {
  throw new Error(
    `ONNX Runtime would report to its maker: ${VARIABLE}=1 is not set; import no-telemetry.js in the thread that starts this one`,
  );
}
