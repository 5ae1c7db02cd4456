import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createRandom, renderPhantom, writeNifti } from '../data/index.js';
import { generateTrace, MOTION_PATTERNS, type MotionTrace } from '../motion/index.js';
import { writeWhole } from '../simulation/index.js';
import type { ReproducePlan } from './plan.js';
import { keyOf } from './stage-record.js';

/**
 * Renders synthetic heads into a folder of the cache, every other one without skull and scalp, as NIfTI with a subjects.tsv. Heads
 * that are there already are kept.
 *
 * @returns the folder
 */
export function syntheticVolumes(
  cache: string,
  { synthetic, seed }: Pick<ReproducePlan, 'synthetic' | 'seed'>,
  onProgress?: (done: number, total: number) => void,
): string {
  const { subjects, head } = synthetic;
  const folder = join(cache, `synthetic-heads-${keyOf(subjects, head, seed).slice(0, 8)}`);
  mkdirSync(folder, { recursive: true });
  const lines = ['subject\tcoverage'];
  onProgress?.(0, subjects);
  for (let i = 0; i < subjects; i++) {
    const brainOnly = i % 2 === 0;
    const name = `phantom-${String(i + 1).padStart(3, '0')}`;
    const file = join(folder, `${name}.nii.gz`);
    if (!existsSync(file)) writeNifti(file, renderPhantom({ ...head, seed: 1000 * seed + i, brainOnly }));
    lines.push(`${name}\t${brainOnly ? 'brain only' : 'head'}`);
    onProgress?.(i + 1, subjects);
  }
  writeWhole(join(folder, 'subjects.tsv'), `${lines.join('\n')}\n`);
  return folder;
}

function traceTable(trace: MotionTrace): string {
  const lines = ['trans_x\ttrans_y\ttrans_z\trot_x\trot_y\trot_z'];
  for (let i = 0; i < trace.points; i++) {
    const row = trace.parameters.subarray(6 * i, 6 * i + 6);
    lines.push(Array.from(row, (value) => value.toPrecision(9)).join('\t'));
  }
  return `${lines.join('\n')}\n`;
}

/**
 * Generates motion traces into a folder of the cache, with a runs.tsv that puts them into the sets `paper` and `unseen`.
 *
 * @returns the folder
 */
export function syntheticTraces(
  cache: string,
  { synthetic, seed }: Pick<ReproducePlan, 'synthetic' | 'seed'>,
): string {
  const { paper, unseen } = synthetic.traces;
  const folder = join(cache, `synthetic-traces-${keyOf(synthetic.traces, seed).slice(0, 8)}`);
  if (existsSync(join(folder, 'runs.tsv'))) return folder;
  mkdirSync(folder, { recursive: true });
  const lines = ['run\tset'];
  for (let i = 0; i < paper + unseen; i++) {
    const random = createRandom(seed, 'trace', i);
    const name = `generated-${String(i + 1).padStart(3, '0')}`;
    writeWhole(
      join(folder, `${name}.tsv`),
      traceTable(generateTrace(random, { pattern: random.pick(MOTION_PATTERNS) })),
    );
    lines.push(`${name}\t${i < paper ? 'paper' : 'unseen'}`);
  }
  writeWhole(join(folder, 'runs.tsv'), `${lines.join('\n')}\n`);
  return folder;
}
