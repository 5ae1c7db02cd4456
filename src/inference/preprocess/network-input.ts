import { type Normalisation, robustScale, zeroLevel } from './robust-scale.js';

/** Where a slice lies inside its padded network input. */
export interface NetworkLayout {
  /** Rows and columns of the padded input: multiples of the network's size multiple. */
  rows: number;
  columns: number;
  /** Padded rows above and columns left of the slice. */
  top: number;
  left: number;
}

export interface NetworkInput extends NetworkLayout {
  /** Row-major, `rows` × `columns`: 0 is no signal, 1 the slice's robust scale; brighter pixels stay above 1. */
  data: Float32Array<ArrayBuffer>;
  /** The slice's robust scale in the unit of its pixels; 0 for an empty slice, whose `data` is all 0. */
  scale: number;
}

export interface NetworkInputOptions {
  /** Rows and columns are padded to a multiple of this. */
  multiple: number;
  normalisation: Normalisation;
}

/**
 * Brings one slice to the network: divided by its robust scale, nothing clipped, and padded on both sides by
 * reflection about its edge pixels to multiples of the network's size multiple.
 *
 * @param pixels row-major, rows × columns
 * @param into memory for `data`, used when it has the right length; its values do not matter
 * @throws RangeError when `pixels` does not hold rows × columns values or the slice has no pixels
 */
export function toNetworkInput(
  pixels: ArrayLike<number>,
  rows: number,
  columns: number,
  options: NetworkInputOptions,
  into?: Float32Array<ArrayBuffer>,
): NetworkInput {
  if (rows < 1 || columns < 1) throw new RangeError(`a slice of ${rows}×${columns} has no pixels`);
  const scale = robustScale(pixels, rows, columns, options.normalisation);
  const layout = paddedLayout(rows, columns, options.multiple);
  if (scale === 0) return { data: new Float32Array(layout.rows * layout.columns), ...layout, scale };
  const data = padScaled(pixels, rows, columns, layout, zeroLevel(pixels), scale, into);
  return { data, ...layout, scale };
}

/** The padded size of a slice and its place inside. */
export function paddedLayout(rows: number, columns: number, multiple: number): NetworkLayout {
  const paddedRows = Math.ceil(rows / multiple) * multiple;
  const paddedColumns = Math.ceil(columns / multiple) * multiple;
  return {
    rows: paddedRows,
    columns: paddedColumns,
    top: Math.floor((paddedRows - rows) / 2),
    left: Math.floor((paddedColumns - columns) / 2),
  };
}

/**
 * (pixel − zero) / scale, padded by reflection. For training, which scales the motion-free slice by the scale of
 * the corrupted one; a non-finite pixel counts as `zero`.
 */
export function padScaled(
  pixels: ArrayLike<number>,
  rows: number,
  columns: number,
  layout: NetworkLayout,
  zero: number,
  scale: number,
  into?: Float32Array<ArrayBuffer>,
): Float32Array<ArrayBuffer> {
  const size = layout.rows * layout.columns;
  const data = into?.length === size ? into : new Float32Array(size);
  if (layout.rows === rows && layout.columns === columns) {
    for (let i = 0; i < data.length; i += 1) {
      const value = (pixels[i]! - zero) / scale;
      data[i] = Number.isFinite(value) ? value : 0;
    }
    return data;
  }
  const sourceColumns = Int32Array.from({ length: layout.columns }, (_, column) =>
    reflect(column - layout.left, columns),
  );
  for (let row = 0; row < layout.rows; row += 1) {
    const source = reflect(row - layout.top, rows) * columns;
    const target = row * layout.columns;
    for (let column = 0; column < layout.columns; column += 1) {
      const value = (pixels[source + sourceColumns[column]!]! - zero) / scale;
      data[target + column] = Number.isFinite(value) ? value : 0;
    }
  }
  return data;
}

/** The index inside 0 … size − 1 that an index outside mirrors to, without repeating the edge. */
function reflect(index: number, size: number): number {
  if (size === 1) return 0;
  const period = 2 * (size - 1);
  const inside = ((index % period) + period) % period;
  return inside < size ? inside : period - inside;
}
