import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createRandom, renderPhantom, type Split, writeNifti, writeSplit } from '../data/index.js';
import { generateTrace, MOTION_PATTERNS, type MotionTrace } from '../motion/index.js';
import { writeWhole } from '../simulation/index.js';
import type { PlannedHead, ReproducePlan } from './plan.js';
import { keyOf } from './stage-record.js';

/** Synthetic heads to render. */
export interface SyntheticHeads {
  readonly count: number;
  readonly head: PlannedHead;
  /** Of the first head; the next ones have the next numbers. */
  readonly seed: number;
  /** Every other one without skull and scalp. */
  readonly brains: boolean;
}

/**
 * Renders synthetic heads into a folder of the cache, as NIfTI with a subjects.tsv. Heads that are there already are kept.
 *
 * @returns the folder
 */
export function renderHeads(
  cache: string,
  heads: SyntheticHeads,
  onProgress?: (done: number, total: number) => void,
): string {
  const { count, head, seed, brains } = heads;
  const folder = join(cache, `synthetic-heads-${keyOf(heads).slice(0, 8)}`);
  mkdirSync(folder, { recursive: true });
  const lines = ['subject\tcoverage'];
  onProgress?.(0, count);
  for (let i = 0; i < count; i++) {
    const brainOnly = brains && i % 2 === 0;
    const name = `phantom-${seed + i}`;
    const file = join(folder, `${name}.nii.gz`);
    if (!existsSync(file)) writeNifti(file, renderPhantom({ ...head, seed: seed + i, brainOnly }));
    lines.push(`${name}\t${brainOnly ? 'brain only' : 'head'}`);
    onProgress?.(i + 1, count);
  }
  writeWhole(join(folder, 'subjects.tsv'), `${lines.join('\n')}\n`);
  if (brains) writeSplit(join(folder, 'split.json'), syntheticSplit(heads));
  return folder;
}

/** A pair of a brain and a head, or several, in every part: a fifth of the subjects to test, a tenth to validate. */
function syntheticSplit({ count, seed }: SyntheticHeads): Split {
  const names = Array.from({ length: count }, (_, i) => `phantom-${seed + i}`);
  const pairs = (share: number): number => 2 * Math.max(1, Math.round((share * count) / 2));
  const test = pairs(0.2);
  const validation = pairs(0.1);
  return {
    training: names.slice(test + validation),
    validation: names.slice(test, test + validation),
    test: names.slice(0, test),
  };
}

/** The subjects of a reproduction without data: half of them brains alone, half heads. */
export function syntheticSubjects({
  synthetic,
  seed,
}: Pick<ReproducePlan, 'synthetic' | 'seed'>): SyntheticHeads {
  return { count: synthetic.subjects, head: synthetic.head, seed: 1000 * seed, brains: true };
}

/** The heads that the product's network is trained on beside the volumes; none of them is another plan's subject. */
export function additionalHeads({ product, seed }: Pick<ReproducePlan, 'product' | 'seed'>): SyntheticHeads {
  return { ...product.heads, seed: 1000 * seed + 500, brains: false };
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
