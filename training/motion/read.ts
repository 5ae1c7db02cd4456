import { readdirSync, readFileSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { type MotionTrace, TraceError } from './trace.js';

const COLUMNS = ['trans_x', 'trans_y', 'trans_z', 'rot_x', 'rot_y', 'rot_z'] as const;
/** Below this a trace cannot describe one acquisition. */
export const LEAST_POINTS = 16;
const LARGEST_ROTATION = 0.6;
const LARGEST_TRANSLATION = 50;
const HEAD_RADIUS_MM = 57;

/**
 * Reads a motion trace:
 * - `*.tsv` with a header naming trans_x, trans_y, trans_z (mm), rot_x, rot_y, rot_z (radians); other columns are ignored;
 * - `*.par` of FSL's mcflirt: no header, three rotations in radians, then three translations in mm;
 * - `rp_*.txt` of SPM: no header, three translations in mm, then three rotations in radians.
 *
 * @throws TraceError when the file is of no such kind, has fewer than 16 points, a value that is not a finite number, or
 *   rotations that are not in radians
 */
export function readTrace(file: string): MotionTrace {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new TraceError(
      `${file}: the motion trace cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  const name = basename(file, extname(file));
  return parseTrace(text, file, name);
}

/** {@link readTrace} on text already in memory; `file` decides the layout and is named in errors. */
export function parseTrace(text: string, file: string, name: string): MotionTrace {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const kind = file.endsWith('.tsv')
    ? 'tsv'
    : file.endsWith('.par')
      ? 'par'
      : basename(file).startsWith('rp_')
        ? 'spm'
        : null;
  if (kind === null) {
    throw new TraceError(
      `${file}: not a known motion trace; use .tsv (header trans_x ... rot_z), FSL .par or SPM rp_*.txt`,
    );
  }
  let order = [0, 1, 2, 3, 4, 5];
  let first = 0;
  if (kind === 'par') order = [3, 4, 5, 0, 1, 2];
  if (kind === 'tsv') {
    const header = (lines[0] ?? '').trim().split(/\s+/);
    order = COLUMNS.map((column) => header.indexOf(column));
    const missing = COLUMNS.filter((_, i) => order[i] === -1);
    if (missing.length > 0) {
      throw new TraceError(
        `${file}: the header lacks ${missing.join(', ')}; it must name ${COLUMNS.join(', ')}`,
      );
    }
    first = 1;
  }
  const points = lines.length - first;
  if (points < LEAST_POINTS) {
    throw new TraceError(`${file}: too short, ${points} time points; at least ${LEAST_POINTS} are needed`);
  }
  const parameters = new Float64Array(points * 6);
  for (let i = 0; i < points; i++) {
    const fields = lines[first + i]!.trim().split(/\s+/);
    for (let j = 0; j < 6; j++) {
      const field = fields[order[j]!];
      const value = Number(field);
      if (field === undefined || field === '' || !Number.isFinite(value)) {
        throw new TraceError(
          `${file}: line ${first + i + 1}, ${COLUMNS[j]}: "${field ?? ''}" is not a finite number`,
        );
      }
      parameters[i * 6 + j] = value;
    }
  }
  checkUnits(parameters, points, file);
  return { name, points, parameters };
}

function checkUnits(parameters: Float64Array, points: number, file: string): void {
  let rotation = 0;
  let translation = 0;
  let rotationPower = 0;
  let translationPower = 0;
  for (let i = 0; i < points; i++) {
    for (let j = 0; j < 3; j++) {
      const moved = parameters[i * 6 + j]!;
      const turned = parameters[i * 6 + 3 + j]!;
      translation = Math.max(translation, Math.abs(moved));
      rotation = Math.max(rotation, Math.abs(turned));
      translationPower += moved * moved;
      rotationPower += turned * turned;
    }
  }
  const turnedMm = HEAD_RADIUS_MM * Math.sqrt(rotationPower);
  if (rotation > LARGEST_ROTATION || (rotation > 0.12 && turnedMm > 15 * Math.sqrt(translationPower))) {
    throw new TraceError(
      `${file}: rotations reach ${rotation.toPrecision(3)}, which in radians no head in a coil does; they look like degrees: ` +
        'convert them to radians (or check the order of the columns)',
    );
  }
  if (translation > LARGEST_TRANSLATION) {
    throw new TraceError(
      `${file}: translations reach ${translation.toPrecision(3)} mm; they look like micrometres or another unit: convert them to mm`,
    );
  }
}

/** All traces of a folder (`*.tsv` other than runs.tsv, `*.par`, `rp_*.txt`), by name. Throws TraceError when there are none. */
export function readTraces(folder: string): MotionTrace[] {
  const files = readdirSync(folder)
    .filter(
      (file) =>
        (file.endsWith('.tsv') && file !== 'runs.tsv') || file.endsWith('.par') || /^rp_.*\.txt$/.test(file),
    )
    .sort();
  if (files.length === 0) {
    throw new TraceError(`${folder}: no motion traces (*.tsv, *.par, rp_*.txt) in this folder`);
  }
  return files.map((file) => readTrace(join(folder, file)));
}

/** The traces of a folder by the set that its runs.tsv (columns run, set) puts them in; without runs.tsv all are `paper`. */
export function readTraceSets(folder: string): Map<string, MotionTrace[]> {
  const traces = readTraces(folder);
  const sets = new Map<string, MotionTrace[]>();
  const setOf = new Map<string, string>();
  if (readdirSync(folder).includes('runs.tsv')) {
    const file = join(folder, 'runs.tsv');
    const rows = readFileSync(file, 'utf8')
      .split(/\r?\n/)
      .filter((line) => line !== '')
      .map((line) => line.split('\t'));
    const run = rows[0]?.indexOf('run') ?? -1;
    const set = rows[0]?.indexOf('set') ?? -1;
    if (run < 0 || set < 0) throw new TraceError(`${file}: the header must name the columns run and set`);
    for (const row of rows.slice(1)) setOf.set(row[run]!, row[set]!);
  }
  for (const trace of traces) {
    const set = setOf.get(trace.name) ?? 'paper';
    const list = sets.get(set);
    if (list === undefined) sets.set(set, [trace]);
    else list.push(trace);
  }
  return sets;
}
