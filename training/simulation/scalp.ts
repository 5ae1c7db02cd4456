import { dilate, headMask, type Mask, percentile, type Random, squaredDistance } from '../data/index.js';

/** A smooth random function of an angle with period 2π, standard deviation about 1. */
function around(random: Random): (angle: number) => number {
  const terms = [1, 2, 3, 5].map((order) => ({
    order,
    size: random.normal() / order,
    phase: random.between(0, 2 * Math.PI),
  }));
  return (angle) => {
    let sum = 0;
    for (const term of terms) sum += term.size * Math.cos(term.order * angle + term.phase);
    return 0.8 * sum;
  };
}

/** Sulci and fissures narrower than twice this are bridged: the skull does not follow them. */
const CLOSING_MM = 18;

/** Morphological closing with a disc: dilation, then the same erosion. */
function closing(
  mask: Mask,
  rows: number,
  columns: number,
  radius: number,
  spacing: readonly [number, number],
): Mask {
  const outside = dilate(mask, rows, columns, radius, spacing).map((value) => 1 - value);
  const fromOutside = squaredDistance(outside, rows, columns, spacing);
  return Uint8Array.from(fromOutside, (value, i) => (mask[i] === 1 || value > radius * radius ? 1 : 0));
}

/**
 * Surrounds a skull-stripped slice with fluid, dark skull and bright scalp of random thickness, drawn by the distance from the brain's
 * outline with edges a pixel wide, so that a network meets heads whose images are not black around the brain. The
 * brain's own pixels are unchanged.
 *
 * @param spacing [between rows, between columns] in mm
 * @returns a new image in the same units; the same image when there is no brain in it
 */
export function addScalp(
  image: Float32Array,
  rows: number,
  columns: number,
  spacing: readonly [number, number],
  random: Random,
): Float32Array {
  const bright = percentile(image, 0.995);
  if (!(bright > 0)) return image;
  const brain = headMask(image, rows, columns, { threshold: 0.02, dilation: 0 });
  let row0 = 0;
  let column0 = 0;
  let area = 0;
  for (let i = 0; i < brain.length; i++) {
    if (brain[i] === 0) continue;
    row0 += Math.floor(i / columns);
    column0 += i % columns;
    area++;
  }
  row0 /= area;
  column0 /= area;
  const distance = squaredDistance(
    closing(brain, rows, columns, CLOSING_MM, spacing),
    rows,
    columns,
    spacing,
  );
  const fluid = random.between(0.5, 3);
  const skull = random.between(3, 8);
  const fat = random.between(2, 8);
  const levels = {
    fluid: random.between(0.08, 0.25),
    skull: random.between(0.02, 0.12),
    fat: random.between(0.45, 1.3),
    skin: random.between(0.2, 0.6),
  };
  const skullWave = around(random);
  const fatWave = around(random);
  const levelWave = around(random);
  const edge = 0.5 * (spacing[0] + spacing[1]);
  const ramp = (at: number, border: number): number => Math.min(1, Math.max(0, (at - border) / edge + 0.5));
  const out = Float32Array.from(image);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const i = row * columns + column;
      if (brain[i] === 1) continue;
      const d = Math.sqrt(distance[i]!);
      const angle = Math.atan2((row - row0) * spacing[0], (column - column0) * spacing[1]);
      const b1 = fluid;
      const b2 = b1 + Math.max(2, skull * (1 + 0.3 * skullWave(angle)));
      const b3 = b2 + Math.max(1, fat * (1 + 0.4 * fatWave(angle)));
      const b4 = b3 + 1.5;
      const fatLevel = levels.fat * (1 + 0.2 * levelWave(2 * angle));
      const level =
        levels.fluid * (1 - ramp(d, b1)) +
        levels.skull * (ramp(d, b1) - ramp(d, b2)) +
        fatLevel * (ramp(d, b2) - ramp(d, b3)) +
        levels.skin * (ramp(d, b3) - ramp(d, b4));
      out[i] = Math.max(image[i]!, bright * level);
    }
  }
  return out;
}
