import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import * as tf from '@tensorflow/tfjs';
import { readModelFolder } from '../../training/evaluate/index.js';
import { interruptChildren } from '../../training/reproduce/child.js';
import {
  type PlannedHead,
  quickPlan,
  type ReproducePlan,
  reproduce,
} from '../../training/reproduce/index.js';
import { Interrupted } from '../../training/reproduce/trainings.js';
import { readCheckpoint } from '../../training/train/index.js';

tf.enableProdMode();
const folder = mkdtempSync(join(tmpdir(), 'mcnet-reproduce-'));
after(() => rmSync(folder, { recursive: true }));

/** The quick plan with networks of four channels, one epoch, and hardly any slices. */
function tinyPlan(): ReproducePlan {
  const quick = quickPlan();
  const small: PlannedHead = { slices: 60, rows: 64, columns: 64, spacing: [3, 4, 4] };
  const narrow = (options: readonly string[]): string[] =>
    options.map((option, i) =>
      options[i - 1] === '--width' ? '4' : options[i - 1] === '--levels' ? '2' : option,
    );
  return {
    ...quick,
    volumes: { training: 2, validation: 1, test: 2 },
    synthetic: {
      subjects: 6,
      head: small,
      traces: { paper: 6, unseen: 4 },
    },
    paper: { slices: 2, tracesPerSlice: 6, validationTraces: 1 },
    product: {
      ...quick.product,
      samplesPerVolume: 4,
      validationSamples: 1,
      paperTraces: { rotation: 1, 'rotation+translation': 1 },
      heads: { count: 1, head: small },
    },
    trainings: quick.trainings.map((training) => ({
      ...training,
      options: [...narrow(training.options), '--batch', '2'],
    })),
    epochs: 1,
    minutes: 0,
    validationSlices: 2,
    report: { tracesPerSlice: 1, slices: 2, volumeTraces: 1, nativeSamples: 1, matchingTraces: 2 },
  };
}

function request(plan: ReproducePlan, say: (line: string) => void) {
  return {
    plan,
    cache: join(folder, 'cache'),
    runs: join(folder, 'runs'),
    out: join(folder, 'out'),
    threads: 1,
    backend: 'compiled' as const,
    device: 'cpu' as const,
    deviceId: 0,
    version: '0.0.1',
    command: 'npm run reproduce',
    progress: { say, count: () => {} },
  };
}

test('a reproduction that is interrupted goes on, ends with models and report, and does nothing when all is there', {
  timeout: 600_000,
}, async () => {
  const plan = tinyPlan();
  const said: string[] = [];
  let interrupted = false;
  await assert.rejects(
    reproduce(
      request(plan, (line) => {
        said.push(line);
        // the child is there one turn later
        if (line.startsWith('training paper-l1-tv ')) {
          setTimeout(() => {
            interrupted = interruptChildren();
          }, 100);
        }
      }),
    ),
    Interrupted,
  );
  assert.ok(interrupted);
  const estimate = said.findIndex((line) => line.startsWith('estimate'));
  const firstSlices = said.findIndex((line) => line.startsWith('slices'));
  assert.ok(estimate >= 0 && estimate < firstSlices, 'the estimate comes before the work');
  for (const { name } of plan.trainings) {
    assert.ok(
      said.some((line) => line.trimStart().startsWith(`${name} `)),
      `${name} is in the estimate`,
    );
  }

  const second = await reproduce(request(plan, () => {}));
  assert.ok(!second.worked.includes('severity'), 'the severity is known');
  assert.ok(!second.worked.includes('paper-l1'), 'what was trained is not trained again');
  assert.ok(second.worked.includes('paper-l1-tv') && second.worked.includes('mcnet'));
  const report = readFileSync(second.report, 'utf8');
  for (const { label, model, beginning } of plan.trainings) {
    if (beginning) continue;
    assert.ok(report.includes(label), `the report names ${label}`);
    assert.equal(second.rows.filter((row) => row.model === label).length, 8, label);
    const exported = readModelFolder(join(folder, 'out', 'models', model));
    assert.equal(exported.name, model);
    const manifest = JSON.parse(readFileSync(join(exported.folder, 'model.json'), 'utf8'));
    assert.equal(manifest.evaluation.rows.length, 8);
  }
  assert.equal(new Set(second.rows.map((row) => row.modelSha256)).size, 5, 'five different networks');

  const third = await reproduce(request(plan, () => {}));
  assert.deepEqual(third.worked, [], 'everything is there');

  // a model that was tampered with is exported again, and only that
  const broken = join(folder, 'out', 'models', 'mcnet', 'model.onnx');
  writeFileSync(broken, 'nothing');
  const fourth = await reproduce(request(plan, () => {}));
  assert.deepEqual(
    fourth.worked.filter((stage) => !stage.startsWith('figures')),
    ['export-mcnet'],
  );
  assert.ok(readModelFolder(join(folder, 'out', 'models', 'mcnet')).sha256.length === 64);

  // more epochs go on from the checkpoints
  const longer = { ...plan, epochs: 2 };
  const run = JSON.parse(readFileSync(join(folder, 'runs', 'stages', 'paper-l1.json'), 'utf8'));
  const checkpoint = join(folder, 'runs', 'stages', Object.keys(run.outputs)[0]!);
  const steps = readCheckpoint(checkpoint).progress.step;
  const fifth = await reproduce(request(longer, () => {}));
  assert.ok(fifth.worked.includes('paper-l1'));
  assert.equal(readCheckpoint(checkpoint).progress.step, 2 * steps);

  // the run folder of another configuration
  const bytes = readFileSync(checkpoint);
  const other = Object.keys(
    JSON.parse(readFileSync(join(folder, 'runs', 'stages', 'mcnet.json'), 'utf8')).outputs,
  )[0]!;
  mkdirSync(join(folder, 'runs'), { recursive: true });
  writeFileSync(join(folder, 'runs', 'stages', other), bytes);
  await assert.rejects(reproduce(request(longer, () => {})), (error: Error) =>
    /of another configuration or other data than mcnet/.test(error.message),
  );
});
