import type { NetworkLayout } from './network-input.js';

/** Stored pixels of one slice or frame. */
export type StoredPixels = Uint8Array | Int8Array | Uint16Array | Int16Array;

/**
 * Adds the network's residual to a slice in stored values: stored + round(residual × scale), clipped to the
 * stored range. Where the residual rounds to zero the pixel is bit-identical, also one outside the range given;
 * a residual that is not a number counts as zero.
 *
 * @param stored row-major, rows × columns, of the slice that `toNetworkInput` was given
 * @param rows rows of the slice
 * @param columns columns of the slice
 * @param residual the network's output for the padded input, row-major, layout.rows × layout.columns
 * @param scale the slice's robust scale in stored units
 * @param range smallest and largest stored value allowed
 * @param into memory for the answer, used when there is enough of it
 * @returns an array of the same kind as `stored`, which stays as it is
 * @throws RangeError when the sizes do not belong together
 */
export function applyResidual<Pixels extends StoredPixels>(
  stored: Pixels,
  rows: number,
  columns: number,
  residual: Float32Array,
  layout: NetworkLayout,
  scale: number,
  range: { min: number; max: number },
  into?: ArrayBuffer,
): Pixels {
  if (stored.length !== rows * columns) {
    throw new RangeError(`${rows}×${columns} pixels expected, got ${stored.length}`);
  }
  if (residual.length !== layout.rows * layout.columns) {
    throw new RangeError(
      `a residual of ${layout.rows}×${layout.columns} expected, got ${residual.length} values`,
    );
  }
  if (layout.top + rows > layout.rows || layout.left + columns > layout.columns) {
    throw new RangeError(
      `a slice of ${rows}×${columns} does not lie inside ${layout.rows}×${layout.columns}`,
    );
  }
  const corrected = copyOf(stored, into);
  const { min, max } = range;
  for (let row = 0; row < rows; row += 1) {
    const from = (layout.top + row) * layout.columns + layout.left;
    const to = row * columns;
    for (let column = 0; column < columns; column += 1) {
      // Math.round takes three times as long.
      const change = Math.floor(residual[from + column]! * scale + 0.5);
      if (change === 0 || Number.isNaN(change)) continue;
      const value = stored[to + column]! + change;
      corrected[to + column] = value < min ? min : value > max ? max : value;
    }
  }
  return corrected;
}

function copyOf<Pixels extends StoredPixels>(stored: Pixels, into?: ArrayBuffer): Pixels {
  if (into === undefined || into.byteLength < stored.byteLength) return stored.slice() as Pixels;
  const Kind = stored.constructor as new (memory: ArrayBuffer, offset: number, length: number) => Pixels;
  const copy = new Kind(into, 0, stored.length);
  copy.set(stored);
  return copy;
}
