import { cpus, totalmem } from 'node:os';
import { usableCores } from '../../src/inference/index.js';

/** What a benchmark found. Every ratio is ours against a named reference of the same run; above 1, ours is ahead. */
export interface BenchResult {
  bench: string;
  machine: { processor: string; cores: number; memoryGb: number; platform: string; node: string };
  figures: Record<string, number | string>;
  ratios: Record<string, number>;
}

/** A benchmark: `test/bench/<name>.ts` exports one as `bench`. It prints its table with `log`, and its last figures are returned. */
export type Bench = (o: {
  args: string[];
  log: (line: string) => void;
}) => Promise<Omit<BenchResult, 'bench' | 'machine'>>;

export function thisMachine(): BenchResult['machine'] {
  return {
    processor: cpus()[0]?.model.trim() ?? process.arch,
    cores: usableCores(),
    memoryGb: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
  };
}

/** Rows of cells as lines of text; the first row is the heading. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '),
    )
    .join('\n');
}
