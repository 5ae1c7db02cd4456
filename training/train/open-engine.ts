import { availableParallelism } from 'node:os';
import type { CaptureConfig } from './captures.js';
import { createCompiledEngine } from './compiled.js';
import type { TrainingConfig } from './config.js';
import { chooseDevice, type DeviceChoice } from './device.js';
import { createTensorflowEngine } from './eager.js';
import type { TrainingEngine } from './engine.js';
import type { TrainingOptions } from './options.js';
import { createReplicaEngine } from './replicas/engine.js';

/** Batch normalisation over fewer slices of 128×128 of a replica is too noisy: all cores then work on the whole batch. */
const leastSlicesForStatistics = 4;

/**
 * The engine that the command line asks for.
 *
 * @param onRefused told why `--device auto` does not take a device
 * @throws TrainingError when TensorFlow or a device that was named is not there
 */
export async function openTrainingEngine(
  options: Pick<TrainingOptions, 'backend' | 'threads' | 'deviceId'> & {
    config: CaptureConfig & Pick<TrainingConfig, 'batch'>;
    device: DeviceChoice;
  },
  onRefused?: (sentence: string) => void,
): Promise<TrainingEngine> {
  const { config, threads } = options;
  if (options.backend === 'tensorflow') return createTensorflowEngine(config);
  const device = await chooseDevice(options.device, options.deviceId, onRefused);
  const replicas = threads || availableParallelism();
  const least = config.network.normalisation === 'none' ? 0 : leastSlicesForStatistics;
  if (device.provider === 'cpu' && replicas > 1 && config.batch >= least * replicas)
    return createReplicaEngine(config, { replicas });
  return createCompiledEngine(config, { ...device, threads });
}
