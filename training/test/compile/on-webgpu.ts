/**
 * One check of training steps on WebGPU, in a process whose environment names the Vulkan driver:
 * node on-webgpu.js placement|steps|engine. Fails with an assertion.
 */
import assert from 'node:assert/strict';
import * as tf from '@tensorflow/tfjs';
import { captureStep, StepSession, withTracing } from '../../compile/index.js';
import {
  adamFactors,
  createTrainer,
  defaultAdam,
  type LossConfig,
  type NetworkConfig,
  paperNetwork,
  type StepInputs,
} from '../../network/index.js';
import { type CompiledOptions, createCompiledEngine } from '../../train/compiled.js';
import { assertSteps, compile, eagerSteps } from './steps.js';

const webgpu = { provider: 'webgpu', strict: true } as const;
const network: NetworkConfig = { width: 4, levels: 2, maximumWidth: 512, stem: 'plain', residual: true };
const allTerms: LossConfig = { l1: 1, tv: 0.5, tvReduction: 'mean', ssim: 0.2 };

const checks: Record<string, () => Promise<void>> = {
  /** Where a node runs is settled when a session is made. */
  async placement() {
    const capture = (stem: NetworkConfig['stem'], lowering: 'cpu' | 'gpu') =>
      withTracing((tracer) => {
        const trainer = createTrainer({ ...paperNetwork, width: 8, stem }, 1);
        const shape = [2, 64, 64, 1];
        return captureStep(
          tracer,
          trainer.variables,
          { corrupted: shape, clean: shape, rate: [], epsilon: [] },
          (inputs) => {
            const { loss, terms } = trainer.step(inputs as unknown as StepInputs, allTerms);
            return { loss, ...terms };
          },
          lowering,
        );
      });
    for (const stem of ['plain', 'half'] as const) {
      await (await StepSession.create(capture(stem, 'gpu'), webgpu)).release();
    }
    await assert.rejects(
      StepSession.create(capture('plain', 'cpu'), webgpu),
      /fallback to CPU EP has been explicitly disabled/,
    );
  },

  async steps() {
    for (const stem of ['plain', 'half'] as const) {
      const shape = { ...network, stem };
      const expected = await eagerSteps(shape, allTerms, 3);
      const compiled = await compile(shape, allTerms, 1, expected.start, { ...webgpu, lowering: 'gpu' });
      await assertSteps(compiled, expected);
      await compiled.state.release();
      await compiled.session.release();
    }
  },

  async engine() {
    const engineOf = (options: CompiledOptions) =>
      createCompiledEngine({ network, loss: allTerms, adam: defaultAdam, seed: 1 }, options);
    const gpu = engineOf(webgpu);
    const cpu = engineOf({ provider: 'cpu', threads: 1 });
    const noise = (from: number) =>
      Float32Array.from({ length: 2 * 16 * 24 }, (_, i) => ((i * from) % 97) / 97);
    const batch = { count: 2, rows: 16, columns: 24, corrupted: noise(37), clean: noise(41) };
    const requests = [1, 2, 3].map((step) => ({
      batch,
      ...adamFactors(1e-3, step),
      ...(step === 2 ? { averageDecay: 0.5 } : {}),
    }));
    const close = (actual: number, expected: number, what: string) =>
      assert.ok(
        Math.abs(actual - expected) < 1e-4 * Math.max(1, Math.abs(expected)),
        `${what}: ${actual}, ${expected}`,
      );
    const compare = async () => {
      for (const { name } of cpu.variables) {
        const expected = await cpu.read(name);
        for (const [i, value] of (await gpu.read(name)).entries()) close(value, expected[i]!, name);
      }
      const figures = await cpu.validate(batch);
      for (const [key, value] of Object.entries(await gpu.validate(batch))) {
        close(value, figures[key as keyof typeof figures], key);
      }
    };
    const [actual, expected] = [await gpu.steps(requests), await cpu.steps(requests)];
    for (const [at, results] of expected.entries()) {
      for (const [name, value] of Object.entries(results)) close(actual[at]![name]!, value, name);
    }
    await compare();
    // As when a checkpoint is restored, here in the middle of a run.
    for (const engine of [gpu, cpu]) {
      for (const { name, shape, role } of engine.variables) {
        if (role === 'weight') continue;
        const size = shape.reduce((product, length) => product * length, 1);
        engine.write(name, new Float32Array(size).fill(role === 'slot' ? 0.25 : 0.5));
      }
    }
    for (const engine of [gpu, cpu]) await engine.steps(requests.slice(0, 1));
    await compare();
    await gpu.close();
    await cpu.close();
  },
};

tf.enableProdMode();
await checks[process.argv[2] ?? '']!();
