/**
 * Times a few training steps and validations of a network: node time-step.js OPTIONS..., the options being those of the
 * training's command line. Prints one line of JSON, {@link StepTime}.
 */
import { openTrainingEngine, parseOptions, TrainingError } from '../train/index.js';
import type { StepTime } from './estimate.js';

const options = parseOptions([
  ...process.argv.slice(2),
  ...['--dataset', '-', '--validation', '-', '--run', '-'],
]);
const { config } = options;
const engine = await openTrainingEngine(options).catch((error: unknown) => {
  if (!(error instanceof TrainingError)) throw error;
  console.error(error.message);
  process.exit(1);
});
const side = 128;
const image = (): Float32Array<ArrayBuffer> =>
  Float32Array.from({ length: config.batch * side * side }, () => Math.random());
const batch = { count: config.batch, rows: side, columns: side, corrupted: image(), clean: image() };

async function medianSeconds(run: () => Promise<unknown>): Promise<number> {
  await run();
  const times: number[] = [];
  for (let i = 0; i < 3; i += 1) {
    const startedAt = performance.now();
    await run();
    times.push((performance.now() - startedAt) / 1000);
  }
  return times.sort((a, b) => a - b)[1]!;
}

const requests = Array.from({ length: engine.stepsAtOnce }, () => ({ batch, rate: 1e-6, epsilon: 1e-8 }));
const step = (await medianSeconds(() => engine.steps(requests))) / requests.length;
const validation = await medianSeconds(() => engine.validate(batch));
const values = engine.variables.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
const result: StepTime = {
  device: engine.device,
  secondsPerSlice: step / config.batch,
  validationSecondsPerSlice: validation / config.batch,
  checkpointBytes: 4 * values,
};
await engine.close();
console.log(JSON.stringify(result));
