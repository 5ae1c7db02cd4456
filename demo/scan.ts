import { createRandom, percentile, renderPhantom, sampleSlice } from '../training/data/index.js';
import { generateTrace, inPlanePoses } from '../training/motion/index.js';
import { corruptSlice, prepareSlice } from '../training/simulation/index.js';
import type { SagittalSlice } from './series.js';

export const SLICES = 40;
const MATRIX = 192;
const SPACING = 1.25;
const THICKNESS = 3;
/** Severity, as the traces of the paper are multiplied. */
const FACTOR = 7;
const SEED = 7;

/** A scan of the synthetic head, without motion and with it. Stored values share one scale. */
export interface DemoScan {
  clean: SagittalSlice[];
  corrupted: SagittalSlice[];
}

function stored(pixels: Float32Array, scale: number): Uint16Array {
  return Uint16Array.from(pixels, (value) => Math.min(4095, Math.max(0, Math.round(value * scale))));
}

/** Draws the head and acquires every sagittal slice twice: lying still, and with the built-in motion. */
export function scanHead(onSlice: (done: number) => void): DemoScan {
  const volume = renderPhantom({
    seed: SEED,
    slices: 64,
    rows: MATRIX,
    columns: MATRIX,
    spacing: [2, SPACING, SPACING],
  });
  const trace = generateTrace(createRandom(SEED, 'demo motion'), { pattern: 'mixed' });
  const still: Float32Array[] = [];
  const moved: Float32Array[] = [];
  const positions = Array.from({ length: SLICES }, (_, index) => (index - (SLICES - 1) / 2) * THICKNESS);
  const poses = inPlanePoses(trace, {
    plane: 'sagittal',
    motion: 'rotation+translation',
    factor: FACTOR,
    lines: MATRIX,
  });
  for (const [index, position] of positions.entries()) {
    const { pixels } = sampleSlice(
      volume,
      { plane: 'sagittal', rows: MATRIX, columns: MATRIX, spacing: [SPACING, SPACING], thickness: THICKNESS },
      position,
    );
    still.push(pixels);
    moved.push(corruptSlice(prepareSlice(pixels, MATRIX, MATRIX, [SPACING, SPACING]), poses, 'ROW'));
    onSlice(index + 1);
  }
  const scale = 2400 / percentile(still[SLICES >> 1]!, 0.995);
  const slices = (images: Float32Array[]) =>
    images.map(
      (pixels, index): SagittalSlice => ({
        pixels: stored(pixels, scale),
        rows: MATRIX,
        columns: MATRIX,
        spacing: SPACING,
        position: positions[index]!,
        thickness: THICKNESS,
        phaseEncoding: 'ROW',
      }),
    );
  return { clean: slices(still), corrupted: slices(moved) };
}
