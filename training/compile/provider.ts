import { availableParallelism } from 'node:os';
import type * as ort from '../../src/inference/onnxruntime.js';

/** Which of ONNX Runtime's execution providers runs a graph. */
export type Provider = 'cpu' | 'webgpu' | 'cuda';

export interface SessionOptions {
  /** Default: the CPU. */
  provider?: Provider;
  /** Which CUDA device, counted from 0. */
  deviceId?: number;
  /** Refuse a graph of which not every node runs on the provider. */
  strict?: boolean;
  /** Threads of one run on the CPU; 0 or undefined for all cores. */
  threads?: number;
  /** Saves about a quarter of the memory for some per cent of time when false. */
  memoryPattern?: boolean;
  /** Threads wait for work by spinning: faster on an idle machine, much slower on a busy one. */
  spin?: boolean;
  /** Writes ONNX Runtime's profile with this file prefix. */
  profile?: string;
}

/** ONNX Runtime's own form of the options. */
export function runtimeOptions(options: SessionOptions): ort.InferenceSession.SessionOptions {
  const provider = options.provider ?? 'cpu';
  return {
    executionProviders: [
      provider === 'cuda' ? { name: provider, deviceId: options.deviceId ?? 0 } : provider,
    ],
    graphOptimizationLevel: 'all',
    // Nodes that ONNX Runtime keeps on the CPU on purpose, such as computations of shapes, are worth no warning.
    logSeverityLevel: provider === 'cpu' ? 2 : 3,
    // A number of its own choosing would pin its threads to cores, which is several times slower on a busy machine.
    intraOpNumThreads: options.threads || (provider === 'cpu' ? availableParallelism() : 1),
    enableMemPattern: options.memoryPattern ?? true,
    extra: {
      session: {
        intra_op: { allow_spinning: options.spin === false ? '0' : '1' },
        ...(options.strict === true && provider !== 'cpu' ? { disable_cpu_ep_fallback: '1' } : {}),
      },
    },
    ...(options.profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: options.profile }),
  };
}
