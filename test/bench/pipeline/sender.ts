/** The scanner of the pipeline benchmark, a process of its own: sends series of synthetic MR slices as it is told. */
import { setTimeout as pause } from 'node:timers/promises';
import { writeSeries } from '../../../demo/series.js';
import { storeInstances } from '../../../src/dimse/index.js';
import { headSlice } from '../../unit/correction/syntheticPart10.js';

/** One series to be sent over one association. */
export interface SendOrder {
  port: number;
  slices: number;
  side: number;
  /** Slices a second at most; default: as fast as they are taken. */
  pace?: number;
}

export interface Sent {
  series: string;
  slices: number;
  /** What went wrong; empty when every slice was taken. */
  problem: string;
}

/** Different pictures; further slices repeat them under UIDs of their own. */
const PICTURES = 12;
const pictures = new Map<number, Uint16Array[]>();

function picturesOf(side: number): Uint16Array[] {
  let made = pictures.get(side);
  if (made === undefined) {
    made = Array.from({ length: PICTURES }, (_, i) =>
      Uint16Array.from(headSlice(side, side, { min: 0, max: 4095 }, i + 1)),
    );
    pictures.set(side, made);
  }
  return made;
}

async function send({ port, slices, side, pace }: SendOrder): Promise<Sent> {
  const { seriesUid, instances } = writeSeries(
    Array.from({ length: slices }, (_, i) => ({
      pixels: picturesOf(side)[i % PICTURES]!,
      rows: side,
      columns: side,
      spacing: 1,
      position: i - slices / 2,
      thickness: 1,
      phaseEncoding: 'ROW' as const,
    })),
  );
  const startedAt = performance.now();
  const outcomes = await storeInstances(
    { host: '127.0.0.1', port, calledAeTitle: 'MCNET', callingAeTitle: 'BENCH' },
    instances.map(({ dataSet, ...about }, i) => ({
      ...about,
      async open() {
        const wait = pace === undefined ? 0 : startedAt + (i * 1000) / pace - performance.now();
        if (wait > 1) await pause(wait);
        return dataSet;
      },
    })),
  );
  const refused = outcomes.find(({ outcome }) => outcome !== 'accepted');
  return { series: seriesUid, slices, problem: refused?.message ?? '' };
}

process.on('message', (order: SendOrder) => {
  send(order).then(
    (sent) => process.send!(sent),
    (error: unknown) => process.send!({ series: '', slices: 0, problem: String(error) } satisfies Sent),
  );
});
