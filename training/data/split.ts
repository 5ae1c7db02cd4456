import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createRandom } from './random.js';

export type SplitPart = 'training' | 'validation' | 'test';
export const SPLIT_PARTS: readonly SplitPart[] = ['training', 'validation', 'test'];

/** Volumes' names by part. All volumes of one subject are in one part. */
export type Split = Readonly<Record<SplitPart, readonly string[]>>;

export class SplitError extends Error {
  override readonly name = 'SplitError';
}

/** The subject of a volume: its name up to and including the BIDS label `sub-...`, else all of its name. */
export function subjectOf(volumeName: string): string {
  return /^(.*?sub-[A-Za-z0-9]+)/.exec(volumeName)?.[1] ?? volumeName;
}

/** The published split of the two public data sets this project is developed on. */
function fixedPart(subject: string): SplitPart | null {
  const match = /^(ds002748|ds000011)-sub-(\d+)$/.exec(subject);
  if (match === null) return subject === 'brainchop-t1crop' ? 'training' : null;
  const number = Number(match[2]);
  if (match[1] === 'ds002748') return number >= 42 ? 'test' : number >= 38 ? 'validation' : 'training';
  return number >= 9 ? 'test' : number === 8 ? 'validation' : 'training';
}

/**
 * Splits volumes by subject. Subjects of the two known public data sets keep their fixed part (test: ds002748 42 to 50 and
 * ds000011 09 to 11; validation: ds002748 38 to 41 and ds000011 08); the others are shuffled by the seed and shared 70 : 10 : 20.
 *
 * @throws SplitError when fewer than three subjects leave a part without any
 */
export function makeSplit(volumeNames: readonly string[], seed = 1): Split {
  const parts: Record<SplitPart, string[]> = { training: [], validation: [], test: [] };
  const free: string[] = [];
  const partOf = new Map<string, SplitPart>();
  for (const subject of new Set(volumeNames.map(subjectOf))) {
    const part = fixedPart(subject);
    if (part === null) free.push(subject);
    else partOf.set(subject, part);
  }
  free.sort();
  const random = createRandom(seed, 'split');
  for (let i = free.length - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    [free[i], free[j]] = [free[j]!, free[i]!];
  }
  const tests = free.length === 0 ? 0 : Math.max(1, Math.round(free.length * 0.2));
  const validations = free.length < 3 ? 0 : Math.max(1, Math.round(free.length * 0.1));
  free.forEach((subject, i) => {
    partOf.set(subject, i < tests ? 'test' : i < tests + validations ? 'validation' : 'training');
  });
  for (const name of [...volumeNames].sort()) parts[partOf.get(subjectOf(name))!].push(name);
  const lacking = SPLIT_PARTS.filter((part) => parts[part].length === 0);
  if (lacking.length > 0) {
    throw new SplitError(
      `${volumeNames.length} volume(s) cannot be split: no subject is left for ${lacking.join(' and ')}; add volumes of other subjects`,
    );
  }
  checkSplit(parts);
  return parts;
}

/** Throws SplitError naming the subject when one is in two parts or a volume is listed twice. */
export function checkSplit(split: Split, file = 'the split'): void {
  const partOf = new Map<string, SplitPart>();
  const seen = new Set<string>();
  for (const part of SPLIT_PARTS) {
    for (const name of split[part]) {
      if (seen.has(name)) throw new SplitError(`${file}: the volume ${name} is listed twice`);
      seen.add(name);
      const subject = subjectOf(name);
      const other = partOf.get(subject);
      if (other !== undefined && other !== part) {
        throw new SplitError(
          `${file}: subject ${subject} is in ${other} and in ${part}; results would be worthless, put each subject into one part`,
        );
      }
      partOf.set(subject, part);
    }
  }
}

/** Writes split.json, whole or not at all. */
export function writeSplit(file: string, split: Split): void {
  checkSplit(split, file);
  writeFileSync(`${file}.tmp`, `${JSON.stringify(split, null, 2)}\n`);
  renameSync(`${file}.tmp`, file);
}

/** Reads and checks a split.json. Throws SplitError when it is not one or leaks. */
export function readSplit(file: string): Split {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new SplitError(
      `${file}: cannot be read as JSON: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  const split = value as Record<string, unknown> | null;
  const whole = SPLIT_PARTS.every((part) => {
    const list = split?.[part];
    return Array.isArray(list) && list.every((name) => typeof name === 'string');
  });
  if (!whole) {
    throw new SplitError(`${file}: must hold the lists ${SPLIT_PARTS.join(', ')} of volume names`);
  }
  checkSplit(split as unknown as Split, file);
  return split as unknown as Split;
}

/**
 * The split of a folder of volumes: its own split.json where it has one, else {@link makeSplit}.
 *
 * @throws SplitError when split.json leaks, or names a volume that is not in the folder, or lacks one that is
 */
export function splitOfFolder(folder: string, volumeNames: readonly string[], seed = 1): Split {
  const file = join(folder, 'split.json');
  if (!existsSync(file)) return makeSplit(volumeNames, seed);
  const split = readSplit(file);
  const listed = new Set(SPLIT_PARTS.flatMap((part) => split[part]));
  const present = new Set(volumeNames);
  const absent = [...listed].filter((name) => !present.has(name));
  const unlisted = volumeNames.filter((name) => !listed.has(name));
  if (absent.length > 0) throw new SplitError(`${file}: there is no volume ${absent[0]} in ${folder}`);
  if (unlisted.length > 0) {
    throw new SplitError(`${file}: the volume ${unlisted[0]} is in no part; list it or move it away`);
  }
  const empty = SPLIT_PARTS.find((part) => split[part].length === 0);
  if (empty !== undefined) throw new SplitError(`${file}: the part ${empty} has no volumes`);
  return split;
}
