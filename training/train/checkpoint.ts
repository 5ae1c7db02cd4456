import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { Progress, TrainingConfig } from './config.js';
import { messageOf, TrainingError } from './errors.js';

/** A moment of a training run: all that is needed to go on as if it had not stopped. */
export interface Checkpoint {
  config: TrainingConfig;
  dataDigest: string;
  progress: Progress;
  /** Weights, optimiser slots and averaged weights by name, in TensorFlow.js' order. */
  variables: ReadonlyMap<string, { shape: readonly number[]; values: Float32Array }>;
}

interface Header {
  config: TrainingConfig;
  dataDigest: string;
  progress: Progress;
  variables: { name: string; shape: readonly number[] }[];
}

const magic = 'MCNETCK1';

/**
 * Writes a checkpoint: the magic, the length of a JSON header (uint32, little-endian), the header, and the values
 * of all variables as little-endian float32. Under another name first, flushed, then renamed: a file with the
 * checkpoint's name is always whole.
 *
 * @throws TrainingError naming the file when it cannot be written; what was there before stays
 */
export function writeCheckpoint(file: string, checkpoint: Checkpoint): void {
  const header: Header = {
    config: checkpoint.config,
    dataDigest: checkpoint.dataDigest,
    progress: checkpoint.progress,
    variables: [...checkpoint.variables].map(([name, { shape }]) => ({ name, shape })),
  };
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  const parts: Uint8Array[] = [Buffer.from(magic), length, text];
  for (const { values } of checkpoint.variables.values()) {
    parts.push(Buffer.from(values.buffer, values.byteOffset, values.byteLength));
  }
  writeWhole(file, parts);
}

/** Writes a file under another name, flushes it and renames it; removes what was written on failure. */
export function writeWhole(file: string, parts: readonly Uint8Array[]): void {
  const partial = `${file}.partial`;
  try {
    mkdirSync(dirname(file), { recursive: true });
    const handle = openSync(partial, 'w');
    try {
      for (const part of parts) {
        let written = 0;
        while (written < part.length) written += writeSync(handle, part, written);
      }
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(partial, file);
  } catch (error) {
    rmSync(partial, { force: true, recursive: true });
    throw new TrainingError(
      `${file} cannot be written: ${messageOf(error)}; make room or choose another folder`,
    );
  }
}

/**
 * Reads a checkpoint.
 *
 * @throws TrainingError naming the file when it is missing, is no checkpoint, or is not whole
 */
export function readCheckpoint(file: string): Checkpoint {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new TrainingError(`${file} cannot be read: ${messageOf(error)}`);
  }
  if (bytes.length < 12 || bytes.toString('latin1', 0, 8) !== magic) {
    throw new TrainingError(`${file} is not a checkpoint of MC-Net training`);
  }
  const start = 12 + bytes.readUInt32LE(8);
  let header: Header;
  try {
    header = JSON.parse(bytes.toString('utf8', 12, start)) as Header;
  } catch {
    throw new TrainingError(`${file} is damaged: its header cannot be read`);
  }
  const variables = new Map<string, { shape: readonly number[]; values: Float32Array }>();
  let offset = start;
  for (const { name, shape } of header.variables) {
    const size = shape.reduce((product, length) => product * length, 1);
    const end = offset + size * 4;
    if (end > bytes.length) throw new TrainingError(`${file} is damaged: it ends inside ${name}`);
    const values = new Float32Array(size);
    Buffer.from(values.buffer).set(bytes.subarray(offset, end));
    variables.set(name, { shape, values });
    offset = end;
  }
  const { config, dataDigest, progress } = header;
  return { config, dataDigest, progress, variables };
}
