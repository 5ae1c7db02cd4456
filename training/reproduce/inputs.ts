import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  type CatalogueEntry,
  type Coverage,
  checkHead,
  coverageOf,
  listVolumes,
  readVolume,
  SPLIT_PARTS,
  type Split,
  type SplitPart,
  splitOfFolder,
  VolumeError,
  volumeDigest,
} from '../data/index.js';
import { type MotionTrace, readTraceSets } from '../motion/index.js';
import { writeWhole } from '../simulation/index.js';
import { ReproduceError } from './error.js';
import type { ReproducePlan } from './plan.js';
import { keyOf } from './stage-record.js';

/** Volumes and traces that were looked through and found good. */
export interface Inputs {
  readonly data: string;
  readonly motion: string;
  /** What of the volumes is used, by part. */
  readonly split: Split;
  readonly volumes: Readonly<Record<SplitPart, readonly CatalogueEntry[]>>;
  /** Synthetic heads that the product's network is trained on as well: none yet when the folders were looked through. */
  readonly heads: readonly CatalogueEntry[];
  /** By volume; found from the voxels where subjects.tsv does not tell. */
  readonly coverage: ReadonlyMap<string, Coverage>;
  readonly traces: { readonly paper: readonly MotionTrace[]; readonly unseen: readonly MotionTrace[] };
}

/** At most this many bad volumes are listed in one message. */
const LISTED = 10;

/**
 * Reads every volume and trace that the plan uses, so that a bad one is found before hours are spent. What was found good is kept
 * in the cache by its digest.
 *
 * @throws VolumeError, TraceError, SplitError, ReproduceError: each names the file and what to do
 */
export async function checkInputs(
  data: string,
  motion: string,
  cache: string,
  plan: Pick<ReproducePlan, 'seed' | 'volumes'>,
  onProgress?: (done: number, total: number) => void,
): Promise<Inputs> {
  for (const [option, folder] of [
    ['--data', data],
    ['--motion', motion],
  ] as const) {
    if (!existsSync(folder) || !statSync(folder).isDirectory()) {
      throw new ReproduceError(`${option} ${folder}: there is no such folder`);
    }
  }
  const traces = checkTraces(motion);
  const entries = listVolumes(data);
  const whole = splitOfFolder(
    data,
    entries.map((entry) => entry.name),
    plan.seed,
  );
  const split = plan.volumes === undefined ? whole : thin(whole, entries, plan.volumes);
  const of = (part: SplitPart): CatalogueEntry[] =>
    entries.filter((entry) => split[part].includes(entry.name));
  const volumes = { training: of('training'), validation: of('validation'), test: of('test') };
  checkTwins(volumes);
  const coverage = await checkVolumes(
    SPLIT_PARTS.flatMap((part) => volumes[part]),
    cache,
    onProgress,
  );
  return { data, motion, split, volumes, heads: [], coverage, traces };
}

/** At most so many volumes of each part, of both coverages where subjects.tsv names them. */
export function thin(
  split: Split,
  entries: readonly CatalogueEntry[],
  most: Readonly<Record<SplitPart, number>>,
): Split {
  const chosen = (part: SplitPart): string[] => {
    const members = entries.filter((entry) => split[part].includes(entry.name));
    const heads = members.filter((entry) => entry.coverage === 'head');
    const others = members.filter((entry) => entry.coverage !== 'head');
    const taken: string[] = [];
    while (taken.length < most[part] && (heads.length > 0 || others.length > 0)) {
      const first = taken.length % 2 === 0 ? others : heads;
      const entry = first.shift() ?? (first === others ? heads : others).shift();
      if (entry !== undefined) taken.push(entry.name);
    }
    return taken.sort();
  };
  return { training: chosen('training'), validation: chosen('validation'), test: chosen('test') };
}

function checkTraces(motion: string): Inputs['traces'] {
  const sets = readTraceSets(motion);
  const paper = sets.get('paper');
  if (paper === undefined) {
    throw new ReproduceError(
      `${join(motion, 'runs.tsv')}: it puts no trace into the set "paper", with which the networks are trained`,
    );
  }
  const unseen = sets.get('unseen') ?? [];
  const seen = new Map(paper.map((trace) => [keyOf(Array.from(trace.parameters)), trace.name]));
  for (const trace of unseen) {
    const twin = seen.get(keyOf(Array.from(trace.parameters)));
    if (twin !== undefined) {
      throw new ReproduceError(
        `${motion}: the traces ${twin} (paper) and ${trace.name} (unseen) are the same; a trace of the training must not be tested as unseen, remove one`,
      );
    }
  }
  return { paper, unseen };
}

/** The same volume under two names must not be in two parts. */
function checkTwins(volumes: Inputs['volumes']): void {
  const first = new Map<string, { part: SplitPart; entry: CatalogueEntry }>();
  for (const part of SPLIT_PARTS) {
    for (const entry of volumes[part]) {
      const digest = volumeDigest(entry.file);
      const twin = first.get(digest);
      if (twin !== undefined && twin.part !== part) {
        throw new ReproduceError(
          `${entry.file} (${part}) and ${twin.entry.file} (${twin.part}) are the same volume; results would be worthless, remove one`,
        );
      }
      first.set(digest, { part, entry });
    }
  }
}

async function checkVolumes(
  entries: readonly CatalogueEntry[],
  cache: string,
  onProgress?: (done: number, total: number) => void,
): Promise<Map<string, Coverage>> {
  const file = join(cache, 'checked-volumes.json');
  const known: Record<string, Coverage> = existsSync(file)
    ? (JSON.parse(readFileSync(file, 'utf8')) as Record<string, Coverage>)
    : {};
  const coverage = new Map<string, Coverage>();
  const bad: string[] = [];
  for (const [done, entry] of entries.entries()) {
    onProgress?.(done, entries.length);
    try {
      const digest = volumeDigest(entry.file);
      if (known[digest] === undefined) {
        const volume = await readVolume(entry.file);
        checkHead(volume, entry.file);
        known[digest] = coverageOf(volume);
      }
      coverage.set(entry.name, entry.coverage ?? known[digest]);
    } catch (error) {
      if (!(error instanceof VolumeError)) throw error;
      bad.push(error.message);
    }
  }
  onProgress?.(entries.length, entries.length);
  mkdirSync(cache, { recursive: true });
  writeWhole(file, JSON.stringify(known));
  if (bad.length > 0) {
    const more = bad.length > LISTED ? `\nand ${bad.length - LISTED} more` : '';
    throw new VolumeError(bad.slice(0, LISTED).join('\n') + more);
  }
  return coverage;
}
