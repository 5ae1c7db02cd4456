import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { graphicsDevices, nvidiaDevices, tryProvider, whyNot } from '../../src/inference/index.js';
import type { Provider } from '../compile/index.js';
import { TrainingError } from './errors.js';

/** What the user asks for; `auto`: the first of cuda, webgpu and cpu that works here. */
export type DeviceChoice = 'auto' | Provider;

export const deviceChoices = ['auto', 'cpu', 'webgpu', 'cuda'] as const satisfies readonly DeviceChoice[];

/** What runs compiled steps. */
export interface ComputeDevice {
  provider: Provider;
  /** Which CUDA device, counted from 0. */
  deviceId: number;
}

/** Why a GPU provider cannot be used, or undefined; tests put their own in place of these. */
export interface DeviceChecks {
  /** As far as files tell. */
  missing(provider: 'webgpu' | 'cuda'): string | undefined;
  /** By a few steps in a process of its own, compared with the CPU's. */
  trial(provider: 'webgpu' | 'cuda', deviceId: number): Promise<string | undefined>;
}

/** TF32 keeps a gradient well within this; a device outside it computes something else. */
const trialTolerance = 0.05;

const thisMachine: DeviceChecks = {
  missing: (provider) => whyNot(provider),
  trial: (provider, deviceId) =>
    tryProvider(
      provider,
      fileURLToPath(new URL('./device-trial.js', import.meta.url)),
      [provider, String(deviceId)],
      { tolerance: trialTolerance },
    ),
};

const howToInstall = {
  cuda: 'deploy/install-cuda.sh installs what the CUDA provider needs beside the driver',
  webgpu: 'a Vulkan, Metal or Direct3D 12 driver of the graphics device is needed',
} as const;

/**
 * Settles which device runs the steps.
 *
 * @param onRefused told why `auto` does not take a device
 * @throws TrainingError when a device is asked for by name and does not work, saying what is missing
 */
export async function chooseDevice(
  choice: DeviceChoice,
  deviceId: number,
  onRefused: (sentence: string) => void = () => {},
  checks: DeviceChecks = thisMachine,
): Promise<ComputeDevice> {
  if (choice === 'cpu') return { provider: 'cpu', deviceId };
  if (choice !== 'auto') {
    // Asked for by name, WebGPU may also run on a software adapter: that is how it is tested without a GPU.
    const missing = choice === 'webgpu' ? undefined : checks.missing(choice);
    const reason = missing ?? (await checks.trial(choice, deviceId));
    if (reason === undefined) return { provider: choice, deviceId };
    throw new TrainingError(
      `--device ${choice}: ${reason}; ${howToInstall[choice]}, or train with --device cpu`,
    );
  }
  for (const provider of ['cuda', 'webgpu'] as const) {
    const reason = checks.missing(provider) ?? (await checks.trial(provider, deviceId));
    if (reason === undefined) return { provider, deviceId };
    onRefused(`${provider} is not used: ${reason}`);
  }
  return { provider: 'cpu', deviceId };
}

/** The device in words, for the record. */
export function describeDevice({ provider, deviceId }: ComputeDevice, threads = 0): string {
  const runtime = 'compiled to ONNX, onnxruntime-node';
  switch (provider) {
    case 'cpu':
      return `${runtime} on the CPU with ${threads || availableParallelism()} threads`;
    case 'webgpu':
      return `${runtime} with WebGPU on ${graphicsDevices()[0] ?? 'a software adapter'}`;
    case 'cuda':
      return `${runtime} with CUDA on ${nvidiaDevices()[deviceId] ?? `device ${deviceId}`}`;
  }
}
