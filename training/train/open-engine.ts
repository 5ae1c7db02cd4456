import { createCompiledEngine } from './compiled.js';
import { chooseDevice, type DeviceChoice } from './device.js';
import { createTensorflowEngine } from './eager.js';
import type { TrainingEngine } from './engine.js';
import type { TrainingOptions } from './options.js';

/**
 * The engine that the command line asks for.
 *
 * @param onRefused told why `--device auto` does not take a device
 * @throws TrainingError when TensorFlow or a device that was named is not there
 */
export async function openTrainingEngine(
  options: Pick<TrainingOptions, 'config' | 'backend' | 'threads' | 'deviceId'> & { device: DeviceChoice },
  onRefused?: (sentence: string) => void,
): Promise<TrainingEngine> {
  const { config, threads } = options;
  if (options.backend === 'tensorflow') return createTensorflowEngine(config);
  const device = await chooseDevice(options.device, options.deviceId, onRefused);
  return createCompiledEngine(config, { ...device, threads });
}
