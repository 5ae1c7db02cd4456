/** Times one compiled training step: node bench-step.js WIDTH ROWS BATCH STEM [LEVELS] [PROFILE] */
import { adamFactors, createTrainer, type NetworkConfig } from '../network/index.js';
import { captureStep, StepSession, StepState, withTracing } from './index.js';

const [width, rows, batch, stem, levels, maximumWidth, profile] = process.argv.slice(2);
const config: NetworkConfig = {
  width: Number(width),
  levels: Number(levels ?? 5),
  maximumWidth: Number(maximumWidth ?? 512),
  stem: stem === 'half' ? 'half' : 'plain',
  residual: true,
};
const n = Number(batch);
const size = Number(rows);
let at = performance.now();
const lap = (what: string) => {
  console.log(what, (performance.now() - at).toFixed(0), 'ms');
  at = performance.now();
};
const initial = new Map<string, Float32Array>();
const step = withTracing((tracer) => {
  const trainer = createTrainer(config, 1);
  lap('build');
  for (const [name, variable] of Object.entries(trainer.variables)) {
    initial.set(name, Float32Array.from(variable.dataSync()));
  }
  const captured = captureStep(
    tracer,
    trainer.variables,
    { corrupted: [n, size, size, 1], clean: [n, size, size, 1], rate: [], epsilon: [] },
    ({ corrupted, clean, rate, epsilon }) => {
      const { loss, terms } = trainer.step({ corrupted, clean, rate, epsilon } as never, {
        l1: 1,
        tv: 0,
        tvReduction: 'mean',
        ssim: 0,
      });
      return { loss, ...terms };
    },
  );
  lap('trace');
  return captured;
});
console.log('model bytes', step.model.length, 'variables', step.variables.length);
const session = await StepSession.create(step, {
  threads: Number(process.env.THREADS ?? 4),
  spin: process.env.SPIN !== '0',
  ...(profile ? { profile } : {}),
});
lap('session');
const state = new StepState();
state.declare(step.variables, (name) => initial.get(name)!);
const corrupted = Float32Array.from({ length: n * size * size }, () => Math.random());
const clean = corrupted.map((value) => value + 0.1 * Math.random());
const times: number[] = [];
for (let t = 1; t <= 8; t += 1) {
  const { rate, epsilon } = adamFactors(1e-3, t);
  const start = performance.now();
  const out = await session.run(state, {
    corrupted,
    clean,
    rate: Float32Array.of(rate),
    epsilon: Float32Array.of(epsilon),
  });
  times.push(performance.now() - start);
  if (t < 4) console.log('loss', out.loss![0]);
}
const sorted = times.slice(2).sort((a, b) => a - b);
console.log(
  `width ${width} ${stem} ${size}² batch ${n}: ${(sorted[Math.floor(sorted.length / 2)]! / n).toFixed(1)} ms per slice (best ${(sorted[0]! / n).toFixed(1)})`,
  `rss ${(process.memoryUsage().rss / 2 ** 20).toFixed(0)} MB`,
);
await session.release();
