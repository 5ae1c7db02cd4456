import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { LoadedModel } from '../manifest.js';
import { FETCH_PROVIDERS } from './devices.js';

export type ProbeAnswer =
  /** The provider ran the model; `difference` is the largest deviation from the processor's answer, relative to its largest value. */
  { ok: true; difference: number | null } | { ok: false; message: string };

/** TF32 and fp16 stay well below this on U-Nets; a device above it computes something else. */
const TOLERANCE = 0.02;

export type GpuProvider = 'webgpu' | 'cuda' | 'tensorrt';

const SCRIPT = fileURLToPath(new URL('./probe-child.js', import.meta.url));

/** The last line of a native error message that says something, without the source location that precedes it. */
export function gist(message: string): string {
  const text = message.replace(/\s+/g, ' ').trim();
  const cuda = /CUDA failure \d+: [^;]+?(?= ?;)/.exec(text)?.[0];
  if (cuda !== undefined) return cuda;
  const said = /(?:was false\.|with error:)\s*(.+)$/.exec(text)?.[1] ?? text;
  const library = /(lib(?:cublas|cudart|cudnn|cufft|curand|nvrtc)\S*?): cannot open shared object file/.exec(
    said,
  )?.[1];
  return library === undefined ? said : `${library} is missing: ${FETCH_PROVIDERS} installs it`;
}

/**
 * Runs the model once on a GPU provider, in a child process, and compares with the processor's answer.
 * @returns undefined when the provider works, else the reason why it must not be used
 */
export function probe(
  provider: GpuProvider,
  model: LoadedModel,
  options: { deviceId?: number; timeoutMs?: number; script?: string } = {},
): Promise<string | undefined> {
  const args = [model.onnxPath, provider, String(options.deviceId ?? 0)];
  return tryProvider(provider, options.script ?? SCRIPT, args, {
    tolerance: TOLERANCE,
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
  });
}

/**
 * Runs a script that computes on a GPU provider and on the processor and prints a {@link ProbeAnswer} as its last line.
 * A process of its own, because a driver may end the process that touches it.
 * @returns undefined when the provider works, else the reason why it must not be used
 */
export function tryProvider(
  provider: GpuProvider,
  script: string,
  args: readonly string[],
  { tolerance, timeoutMs = 120_000 }: { tolerance: number; timeoutMs?: number },
): Promise<string | undefined> {
  return runTrial<ProbeAnswer>(provider, script, args, timeoutMs).then((answer) => {
    if (typeof answer === 'string') return answer;
    if (!answer.ok) return gist(answer.message);
    // JSON has no infinity.
    if (answer.difference === null) return `${provider} computes values that are no numbers`;
    return answer.difference > tolerance
      ? `${provider} computes something else than the processor: largest difference ${answer.difference.toPrecision(2)} of the largest value, ${tolerance} allowed`
      : undefined;
  });
}

/**
 * Runs a script in a process of its own and reads the JSON of the last line that it prints.
 * @returns what it printed, or the reason why it printed nothing
 */
export function runTrial<Answer extends object>(
  provider: GpuProvider,
  script: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<Answer | string> {
  return new Promise((resolve) => {
    const options = { timeout: timeoutMs, killSignal: 'SIGKILL' } as const;
    execFile(process.execPath, [script, ...args], options, (error, stdout) => {
      try {
        resolve(JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Answer);
      } catch {
        const how = error?.killed
          ? `gave no answer within ${timeoutMs / 1000} s`
          : `ended its process (${error?.signal ?? `exit code ${error?.code ?? 0}`})`;
        resolve(`a trial of ${provider} ${how}`);
      }
    });
  });
}
