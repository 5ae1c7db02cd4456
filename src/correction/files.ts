import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Derivation } from '../dicom/index.js';
import { DEFAULT_SAFEGUARDS, type Quality, type Safeguards } from '../inference/index.js';
import { contentsOf } from './contents.js';
import type { Corrected, Corrector, CorrectorDescription } from './corrector.js';
import { CorrectionError } from './error.js';

/** What became of one file. */
export type FileResult =
  | {
      path: string;
      outcome: 'corrected';
      /** Path of the derived file: `out`/<series UID>/<SOP UID>.dcm. */
      output: string;
      series: string;
      sop: string;
      frames: number;
      quality: Quality;
      /** What the safeguards remarked; it stands in the derived object as well. */
      flags: string[];
      ms: Corrected['ms'];
    }
  /** Nothing to correct: another kind of image, or a file in a folder that is no DICOM object. */
  | { path: string; outcome: 'left-alone'; reason: string }
  | { path: string; outcome: 'failed'; reason: string };

export interface FilesSummary {
  files: number;
  corrected: number;
  leftAlone: number;
  failed: number;
  /** Corrected files of which the safeguards remarked something. */
  flagged: number;
  /** Frames in the corrected files. */
  frames: number;
  seconds: number;
  model: CorrectorDescription['model'];
  engine: CorrectorDescription['engine'];
  results: FileResult[];
}

export interface CorrectFilesOptions {
  /** Files and folders; folders are walked. */
  paths: readonly string[];
  /** Folder for the derived files: <series UID>/<SOP UID>.dcm. Made when it is missing. */
  out: string;
  corrector: Corrector;
  derivation: Derivation;
  /** Default: those of a rule that names none. */
  safeguards?: Safeguards;
  /** Files under way at the same time. Default: what keeps the corrector busy. */
  concurrency?: number;
  signal?: AbortSignal;
  onProgress?(done: number, total: number, result: FileResult): void;
}

interface Found {
  path: string;
  /** Found in a folder, not named by the caller. */
  walked: boolean;
}

async function walk(path: string, walked: boolean, seen: Set<string>): Promise<Found[]> {
  let isFolder: boolean;
  try {
    isFolder = (await stat(path)).isDirectory();
  } catch {
    return [{ path, walked: false }];
  }
  if (!isFolder) return [{ path, walked }];
  const real = await realpath(path);
  if (seen.has(real)) return [];
  seen.add(real);
  const found: Found[] = [];
  for (const name of (await readdir(path)).sort()) found.push(...(await walk(join(path, name), true, seen)));
  return found;
}

/** Every file that the paths name or contain, once, folders in the order of their names. */
export async function findFiles(paths: readonly string[]): Promise<Found[]> {
  const found: Found[] = [];
  const seen = new Set<string>();
  const listed = new Set<string>();
  for (const path of paths) {
    for (const one of await walk(path, false, seen)) {
      const absolute = resolve(one.path);
      if (listed.has(absolute)) continue;
      listed.add(absolute);
      found.push(one);
    }
  }
  return found;
}

/** Writes a file so that it is whole or not there: beside its place, synced, renamed, folder synced. */
export async function writeAtomically(path: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    const file = await open(temporary, 'w');
    try {
      for await (const piece of pieces) await file.writeFile(piece);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * Corrects files and folders into a folder: the body of `mcnet correct`. A file that fails does not stop the others;
 * every file has its result. Two different sources that carry the same SOP Instance UID both get a derived file, the
 * later one with a number in its name.
 * @throws when `out` cannot be made, or the signal's reason when it is aborted
 */
export async function correctFiles(options: CorrectFilesOptions): Promise<FilesSummary> {
  const { corrector, derivation, safeguards = DEFAULT_SAFEGUARDS, signal } = options;
  const startedAt = performance.now();
  const { out } = options;
  await mkdir(out, { recursive: true });
  const found = await findFiles(options.paths);
  const results: FileResult[] = new Array(found.length);
  const digests = new Map<string, string>();
  let done = 0;
  let next = 0;

  /** A name that no other content has taken in this run. */
  async function nameFor(corrected: Corrected): Promise<string> {
    const hash = createHash('sha256');
    for await (const piece of contentsOf(corrected)) hash.update(piece);
    const digest = hash.digest('hex');
    for (let copy = 1; ; copy += 1) {
      const name = copy === 1 ? `${corrected.sop}.dcm` : `${corrected.sop}-${copy}.dcm`;
      const path = join(out, corrected.series, name);
      const taken = digests.get(path);
      if (taken === undefined) digests.set(path, digest);
      if (taken === undefined || taken === digest) return path;
    }
  }

  async function correctOne({ path, walked }: Found): Promise<FileResult> {
    const scratch = join(out, `${randomUUID()}.tmp`);
    try {
      const corrected = await corrector.correct({
        path,
        derivation,
        safeguards,
        scratch,
        ...(signal === undefined ? {} : { signal }),
      });
      const output = await nameFor(corrected);
      await mkdir(dirname(output), { recursive: true });
      await writeAtomically(output, contentsOf(corrected));
      const { series, sop, frames, quality, flags, ms } = corrected;
      return {
        path,
        outcome: 'corrected',
        output,
        series,
        sop,
        frames,
        quality,
        flags: flags.map(({ message }) => message),
        ms,
      };
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      const message = error instanceof Error ? error.message : String(error);
      // The result names the file itself.
      const reason = message.startsWith(`${path}: `) ? message.slice(path.length + 2) : message;
      const alone =
        error instanceof CorrectionError &&
        (error.code === 'not-correctable' || (walked && error.dicom === 'not-dicom'));
      return { path, outcome: alone ? 'left-alone' : 'failed', reason };
    } finally {
      await rm(scratch, { force: true });
    }
  }

  async function worker(): Promise<void> {
    while (next < found.length) {
      const at = next++;
      const result = await correctOne(found[at]!);
      results[at] = result;
      done += 1;
      options.onProgress?.(done, found.length, result);
    }
  }
  const concurrency = Math.max(1, options.concurrency ?? corrector.concurrency + 2);
  await Promise.all(Array.from({ length: Math.min(concurrency, found.length) }, worker));

  const count = (outcome: FileResult['outcome']): number =>
    results.filter((one) => one.outcome === outcome).length;
  const { model, engine } = corrector.describe();
  return {
    files: found.length,
    corrected: count('corrected'),
    leftAlone: count('left-alone'),
    failed: count('failed'),
    flagged: results.filter((one) => one.outcome === 'corrected' && one.flags.length > 0).length,
    frames: results.reduce((sum, one) => sum + (one.outcome === 'corrected' ? one.frames : 0), 0),
    seconds: (performance.now() - startedAt) / 1000,
    model,
    engine,
    results,
  };
}
