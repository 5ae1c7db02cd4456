import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { LoadedModel } from '../manifest.js';
import { usableCores } from './cores.js';
import { graphicsDevices } from './devices.js';
import { type Engine, EngineError, type EngineRefusal } from './engine.js';
import { type Lane, openLane } from './lane.js';
import { createLossCounter, keepStanding, type StandingLane } from './standing.js';

export interface TensorflowEngineOptions {
  /** Packages to try, first to last. Default: tfjs-node-gpu, then tfjs-node. */
  packages?: readonly string[];
  refused?: EngineRefusal[];
}

/** TensorFlow.js' bindings of libtensorflow: optional peers that are loaded only when this engine is chosen. */
export const TENSORFLOW_PACKAGES = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'] as const;

/**
 * Why the TensorFlow.js engine cannot work here, as far as installed packages and files tell; undefined when it is
 * worth a try.
 */
export function missingTensorflow(
  model: LoadedModel | undefined,
  packages: readonly string[] = TENSORFLOW_PACKAGES,
): string | undefined {
  const { resolve } = createRequire(import.meta.url);
  const installed = packages.some((name) => {
    try {
      resolve(name);
      return true;
    } catch {
      return false;
    }
  });
  if (!installed) {
    return `neither ${packages.join(' nor ')} is installed; it is optional and needs Node 22 or older: deploy/build-tensorflow.sh installs it`;
  }
  if (model !== undefined && !existsSync(model.tfjsPath)) {
    return `the model has no TensorFlow.js form: ${model.tfjsPath} is missing`;
  }
  return undefined;
}

const SCRIPT = new URL('./tensorflow-worker.js', import.meta.url);

/**
 * TensorFlow.js, running the layers model that lies beside model.onnx (tfjs/model.json).
 * @throws EngineError `unavailable` when no package is installed or the model has no such form
 */
export async function openTensorflowEngine(
  model: LoadedModel,
  options: TensorflowEngineOptions = {},
): Promise<Engine> {
  const packages = options.packages ?? TENSORFLOW_PACKAGES;
  const losses = createLossCounter();
  let info: Lane['info'] | undefined;
  let lane: StandingLane | undefined;

  const engine: Engine = {
    capacity: { lanes: 1, batch: 16, pixels: 16 * 256 * 256 },
    async load(next) {
      await lane?.close();
      lane = undefined;
      const open = () => openLane(SCRIPT, { packages, modelPath: next.tfjsPath });
      const first = await open();
      info = first.info;
      lane = keepStanding(first, open, losses);
    },
    run(batch, shape) {
      if (lane === undefined) return Promise.reject(new EngineError('closed', 'the engine is closed'));
      return lane.run(batch, shape);
    },
    async close() {
      await lane?.close();
      lane = undefined;
    },
    describe() {
      const onGpu = info?.provider.endsWith('-gpu') ?? false;
      return {
        engine: 'tensorflow',
        device: onGpu ? graphicsDevices().join(', ') || 'no graphics device: processor' : 'processor',
        provider: `${info?.provider ?? packages[0]}, backend ${info?.device ?? '?'}`,
        threads: onGpu ? 0 : usableCores(),
        version: info?.version ?? '',
        refused: options.refused ?? [],
      };
    },
  };
  await engine.load(model);
  return engine;
}
