import type { Engine } from '../../src/inference/index.js';

/** Slices a second of an engine whose lanes are all kept busy, without files, threads or queue around it. */
export async function engineThroughput(
  engine: Engine,
  side: number,
  batch: number,
  seconds: number,
): Promise<number> {
  const input = new Float32Array(batch * side * side).map((_, i) => (i % 251) / 251);
  const inputs = () => input.slice();
  const run = () => engine.run(inputs(), [batch, 1, side, side]);
  await Promise.all(Array.from({ length: engine.capacity.lanes }, run));
  const { lanes, ahead = 0 } = engine.capacity;
  const startedAt = performance.now();
  const until = startedAt + seconds * 1000;
  let done = 0;
  await Promise.all(
    Array.from({ length: lanes + ahead }, async () => {
      while (performance.now() < until) {
        await run();
        done += batch;
      }
    }),
  );
  return done / ((performance.now() - startedAt) / 1000);
}

/** The middle of some values (the upper one of two). */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}
