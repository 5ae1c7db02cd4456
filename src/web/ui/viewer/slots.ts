/** Frames in the order in which they are looked through, original and corrected at the same place. */
import type { ImageView, SliceView } from '../api.js';

export interface Slot {
  slice: SliceView;
  /** From 1. */
  frame: number;
  image: ImageView;
  /** Millimetres along the slices' normal, where the header tells. */
  position?: number;
  /** Cornerstone image ids; first: the original; the others only where there is a corrected image. */
  ids: { first: string; second?: string; residual?: string };
  quality: Readonly<Record<string, number>> | undefined;
}

/** Whether the safeguards found something odd about it; that it needed no correction is nothing odd. */
export function isFlagged({ slice }: Slot): boolean {
  return slice.flags?.some(({ kind }) => kind !== 'skipped') ?? false;
}

/** Image Position on the normal of rows and columns. PS3.3 C.7.6.2.1.1 */
function alongNormal(image: ImageView, frame: number): number | undefined {
  const at = image.frames[frame - 1]?.position;
  const o = image.orientation;
  if (!at || !o || o.length < 6) return undefined;
  const normal = [
    o[1]! * o[5]! - o[2]! * o[4]!,
    o[2]! * o[3]! - o[0]! * o[5]!,
    o[0]! * o[4]! - o[1]! * o[3]!,
  ];
  return at[0] * normal[0]! + at[1] * normal[1]! + at[2] * normal[2]!;
}

/** Every frame that can be shown, by position where each has one, else in the order of the list. */
export function slotsOf(slices: readonly SliceView[]): Slot[] {
  const slots = slices.flatMap((slice): Slot[] => {
    const { image } = slice;
    if (!image) return [];
    return Array.from({ length: Math.max(1, slice.frames) }, (_, index) => {
      const frame = index + 1;
      const position = alongNormal(image, frame);
      const { derivedAt } = slice;
      return {
        slice,
        frame,
        image,
        ...(position !== undefined && { position }),
        ids: {
          first: `mcnet:source/${slice.sop}/${frame}`,
          ...(derivedAt && {
            second: `mcnet:derived/${derivedAt.sop}/${frame}`,
            residual: `mcnet:residual/${derivedAt.sop}/${frame}`,
          }),
        },
        quality: slice.frameQuality?.[index] ?? slice.quality,
      };
    });
  });
  return slots.every(({ position }) => position !== undefined)
    ? slots.sort((a, b) => a.position! - b.position!)
    : slots;
}

const AXES = [
  ['R', 'L'],
  ['A', 'P'],
  ['I', 'S'],
] as const;

/** The patient's side to which a direction points, by its largest parts. */
function sideOf(direction: readonly number[]): string {
  return direction
    .map((value, axis) => ({ size: Math.abs(value), side: AXES[axis]![value > 0 ? 1 : 0] }))
    .filter(({ size }) => size > 0.3)
    .sort((a, b) => b.size - a.size)
    .map(({ side }) => side)
    .slice(0, 2)
    .join('');
}

/** Letters for the four edges of an image. */
export function edgesOf(
  image: ImageView,
): { left: string; right: string; top: string; bottom: string } | undefined {
  const o = image.orientation;
  if (!o || o.length < 6) return undefined;
  const row = o.slice(0, 3);
  const column = o.slice(3, 6);
  return {
    right: sideOf(row),
    left: sideOf(row.map((value) => -value)),
    bottom: sideOf(column),
    top: sideOf(column.map((value) => -value)),
  };
}
