import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { writeWhole } from '../simulation/index.js';

/** What is kept of a finished stage (`stages/NAME.json`). */
export interface StageRecord {
  readonly stage: string;
  /** SHA-256 of everything that decides the stage's outcome. */
  readonly key: string;
  readonly seconds: number;
  readonly finishedAt: string;
  /** SHA-256 of the files that it left, by their path from the record's folder. */
  readonly outputs: Readonly<Record<string, string>>;
}

/** SHA-256 of values, as JSON. */
export function keyOf(...parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** SHA-256 of a file's bytes. */
export function fileDigest(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

/** The record of a stage when it is finished: done for the same key, and every file it left is there unchanged. */
export function finishedStage(folder: string, stage: string, key: string): StageRecord | undefined {
  const file = join(folder, `${stage}.json`);
  if (!existsSync(file)) return undefined;
  let record: StageRecord;
  try {
    record = JSON.parse(readFileSync(file, 'utf8')) as StageRecord;
  } catch {
    return undefined;
  }
  if (record.key !== key) return undefined;
  for (const [name, digest] of Object.entries(record.outputs)) {
    const output = resolve(folder, name);
    if (!existsSync(output) || fileDigest(output) !== digest) return undefined;
  }
  return record;
}

/** Writes down that a stage is finished, with the digests of the files that it left. */
export function recordStage(
  folder: string,
  stage: string,
  key: string,
  outputs: readonly string[],
  seconds: number,
): StageRecord {
  mkdirSync(folder, { recursive: true });
  const record: StageRecord = {
    stage,
    key,
    seconds: Math.round(seconds * 10) / 10,
    finishedAt: new Date().toISOString(),
    outputs: Object.fromEntries(outputs.map((file) => [relative(folder, file), fileDigest(file)])),
  };
  writeWhole(join(folder, `${stage}.json`), `${JSON.stringify(record, null, 2)}\n`);
  return record;
}
