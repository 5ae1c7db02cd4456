import type { Random } from '../data/index.js';

/** How strongly slices are drawn out of shape. */
export interface BendSampling {
  /** Share of slices that are bent. */
  readonly share: number;
  /** Standard deviation of the turn about each of the three axes, degrees. */
  readonly turn: number;
  /** Standard deviation of the logarithm of the size in each direction of the slice. */
  readonly stretch: number;
  /** Standard deviation of the smooth displacement in each direction, mm. */
  readonly wave: number;
}

/** From a point of a slice, mm down and across from its centre, to its displacement along normal, rows and columns in mm. */
export type Bend = (down: number, across: number) => readonly [number, number, number];

const WAVES = 5;
/** Wavelengths in mm: from larger than the head to about a lobe of the brain. */
const WAVELENGTHS = [60, 240] as const;

/**
 * Another person's head out of the same volume: the slice's plane is turned, the slice stretched, and all of it displaced by a few
 * long waves in all three directions. Where volumes of a kind are few, this is what keeps a network from learning them by heart.
 */
export function randomBend({ turn, stretch, wave }: Omit<BendSampling, 'share'>, random: Random): Bend {
  const radians = (turn * Math.PI) / 180;
  const [inPlane, aboutRows, aboutColumns] = [0, 1, 2].map(() => radians * random.normal()) as Three;
  const [tall, wide] = [Math.exp(stretch * random.normal()), Math.exp(stretch * random.normal())];
  const directions = [0, 1, 2].map(() =>
    Array.from({ length: WAVES }, () => {
      const frequency = (2 * Math.PI) / random.between(...WAVELENGTHS);
      const angle = random.between(0, 2 * Math.PI);
      return {
        size: wave * Math.sqrt(2 / WAVES) * random.normal(),
        down: frequency * Math.cos(angle),
        across: frequency * Math.sin(angle),
        phase: random.between(0, 2 * Math.PI),
      };
    }),
  );
  const [cos, sin] = [Math.cos(inPlane), Math.sin(inPlane)];
  const moved: [number, number, number] = [0, 0, 0];
  return (down, across) => {
    for (const [axis, waves] of directions.entries()) {
      let sum = 0;
      for (const { size, down: y, across: x, phase } of waves)
        sum += size * Math.cos(y * down + x * across + phase);
      moved[axis] = sum;
    }
    const y = down * tall;
    const x = across * wide;
    moved[0] += Math.tan(aboutRows) * x + Math.tan(aboutColumns) * y;
    moved[1] += cos * y - sin * x - down;
    moved[2] += sin * y + cos * x - across;
    return moved;
  };
}

type Three = [number, number, number];
