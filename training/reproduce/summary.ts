import type { ResultRow } from '../evaluate/report/index.js';

const arrow = (before: number, after: number): string => `${before.toFixed(3)} → ${after.toFixed(3)}`;

/** The headline of the results: severity-matched, unseen traces where there are any, every model, either motion. */
export function summaryLines(rows: readonly ResultRow[]): string[] {
  const matched = rows.filter((row) => row.protocol === 'matched');
  const traces = matched.some((row) => row.traces === 'unseen') ? 'unseen' : 'paper';
  const width = Math.max(...rows.map((row) => row.model.length), 0);
  const lines = [`SSIM on unseen subjects, severity-matched, ${traces} traces:`];
  for (const motion of ['rotation', 'rotation+translation'] as const) {
    lines.push(`  ${motion}`);
    for (const row of matched.filter((entry) => entry.motion === motion && entry.traces === traces)) {
      lines.push(
        `    ${row.model.padEnd(width)}  whole slice ${arrow(row.ssimCorrupted, row.ssimCorrected)}  head ${arrow(row.headSsimCorrupted, row.headSsimCorrected)}  motion-free ${row.motionFree.all.ssim.toFixed(4)}`,
      );
    }
  }
  return lines;
}
