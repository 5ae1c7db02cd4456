/** Trains MC-Net: node dist/training/train/cli.js --help */
import { SingleBar } from 'cli-progress';
import { DatasetError, openDataset } from '../simulation/index.js';
import { joinSamples, samplesOf, selectSamples, type TrainingSamples } from './dataset.js';
import type { TrainingEngine } from './engine.js';
import { messageOf, TrainingError } from './errors.js';
import { openTrainingEngine } from './open-engine.js';
import { parseOptions } from './options.js';
import { train } from './train.js';

const options = parseOptions(process.argv.slice(2));

const stop = new AbortController();
let interrupts = 0;
const interrupt = (): void => {
  interrupts += 1;
  if (interrupts > 1) process.exit(130);
  console.error('\nfinishing this step, then writing a checkpoint; once more to stop at once');
  stop.abort();
};
process.on('SIGINT', interrupt);
process.on('SIGTERM', interrupt);

const bar = new SingleBar({
  format:
    '{bar} {percentage}% | epoch {epoch} step {step} | loss {loss} | {speed} slices/s | {eta_formatted} left',
  hideCursor: true,
  noTTYOutput: false,
});

let engine: TrainingEngine | undefined;
try {
  const open = (folders: readonly string[]): TrainingSamples =>
    joinSamples(folders.map((folder) => samplesOf(openDataset(folder))));
  let training = open(options.dataset);
  if (options.maxSlices > 0 && options.maxSlices < training.count) {
    const stride = training.count / options.maxSlices;
    training = selectSamples(
      training,
      Array.from({ length: options.maxSlices }, (_, i) => Math.floor(i * stride)),
    );
  }
  const validation = open(options.validation);
  engine = await openTrainingEngine(options, (sentence) => console.log(sentence));
  console.log(`device: ${engine.device}`);
  console.log(`${training.count} training slices, ${validation.count} validation slices, run ${options.run}`);
  const interactive = process.stdout.isTTY === true;
  if (interactive) bar.start(1000, 0, { epoch: 1, step: 0, loss: '-', speed: '-' });
  let toldAt = performance.now();
  const outcome = await train({
    config: options.config,
    engine,
    training,
    validation,
    folder: options.run,
    ...(options.from === undefined ? {} : { startFrom: options.from }),
    checkpointSeconds: options.checkpointSeconds,
    validationSlices: options.validationSlices,
    signal: stop.signal,
    onStep: ({ progress, share, loss, gradient, slicesPerSecond }) => {
      if (interactive) {
        bar.update(Math.round(share * 1000), {
          epoch: progress.epoch + 1,
          step: progress.step,
          loss: loss.toFixed(5),
          speed: slicesPerSecond.toFixed(1),
        });
      } else if (performance.now() - toldAt > 30_000) {
        toldAt = performance.now();
        console.log(
          `${(share * 100).toFixed(1)} % · epoch ${progress.epoch + 1} · step ${progress.step} · loss ${loss.toFixed(5)}${gradient === undefined ? '' : ` · gradient ${gradient.toPrecision(3)}`} · ${slicesPerSecond.toFixed(1)} slices/s`,
        );
      }
    },
    onEpoch: ({ progress, train: sums, validation: figures, slicesPerSecond }) => {
      console.log(
        `${interactive ? '\n' : ''}epoch ${progress.epoch} · ${progress.seconds.toFixed(0)} s · loss ${sums.loss?.toFixed(5)} · validation L1 ${figures.inputL1.toFixed(5)} → ${figures.l1.toFixed(5)}, SSIM ${figures.inputSsim.toFixed(4)} → ${figures.ssim.toFixed(4)} · ${slicesPerSecond.toFixed(1)} slices/s`,
      );
    },
    onNotice: (sentence) => console.log(sentence),
  });
  if (interactive) bar.stop();
  console.log(
    outcome.finished
      ? `finished: ${outcome.checkpoint}`
      : `stopped; the same command resumes ${outcome.checkpoint}`,
  );
  if (!outcome.finished) process.exitCode = 130;
} catch (error) {
  if (!(error instanceof TrainingError || error instanceof DatasetError)) throw error;
  console.error(messageOf(error));
  process.exitCode = 1;
} finally {
  await engine?.close();
}
