import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { svgToPng } from '../../figures/index.js';
import type { MotionTrace } from '../../motion/index.js';
import { writeWhole } from '../../simulation/index.js';
import { drawGains, drawHarm, drawMagnitude, drawTable, headline } from './charts.js';
import type { Experiment } from './experiment.js';
import { type ReportOptions, reportMarkdown } from './markdown.js';
import { drawPanels } from './panels.js';
import { resultRows } from './results.js';

/**
 * Writes report.md, results.json and figure-2 … figure-7 (.svg, .png) into a folder, each whole or not at all.
 *
 * @param traces all traces, for drawing trajectories
 * @returns the files' names
 */
export async function writeReport(
  folder: string,
  experiment: Experiment,
  traces: readonly MotionTrace[],
  options: ReportOptions,
): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  const rows = resultRows(experiment);
  const written: string[] = [];
  const write = (name: string, content: string | Uint8Array): void => {
    writeWhole(join(folder, name), content);
    written.push(name);
  };
  const figure = (number: number, svg: string): void => {
    write(`figure-${number}.svg`, svg);
    write(`figure-${number}.png`, svgToPng(svg));
  };
  for (const [number, motion, title] of [
    [2, 'rotation', 'Rotation'],
    [3, 'rotation+translation', 'Rotation and translation'],
  ] as const) {
    const condition = headline(experiment, motion);
    if (condition !== undefined) {
      figure(number, await drawPanels(condition, experiment.models, traces, title));
    }
  }
  figure(4, drawTable(experiment));
  figure(5, drawMagnitude(experiment));
  figure(6, drawGains(experiment));
  figure(7, drawHarm(experiment));
  write('results.json', `${JSON.stringify(rows, null, 1)}\n`);
  write('report.md', reportMarkdown(experiment, rows, options));
  return written;
}
