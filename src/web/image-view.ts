/** What a viewer needs to know about an image before its pixels, from its header. */
import { type DataSet, itemsOf, number, numbers, string } from '../dicom/index.js';
import type { FrameView, ImageView } from './views.js';

type Triple = [number, number, number];

function finite(values: readonly number[], length: number): readonly number[] | undefined {
  const some = values.slice(0, length);
  return some.length === length && some.every(Number.isFinite) ? some : undefined;
}

/** The first macro found among functional groups, the frame's own before the shared: PS3.3 C.7.6.16. */
function macro(groups: readonly (DataSet | undefined)[], keyword: string): DataSet | undefined {
  for (const group of groups) {
    const item = group && itemsOf(group, keyword)[0];
    if (item) return item;
  }
  return undefined;
}

function frameView(position: DataSet, transformation: DataSet, window: DataSet): FrameView {
  const at = finite(numbers(position, 'ImagePositionPatient'), 3);
  const slope = number(transformation, 'RescaleSlope');
  const center = number(window, 'WindowCenter');
  const width = number(window, 'WindowWidth');
  return {
    slope: slope === undefined || slope === 0 ? 1 : slope,
    intercept: number(transformation, 'RescaleIntercept') ?? 0,
    ...(at && { position: at as unknown as Triple }),
    ...(center !== undefined && width !== undefined && width >= 1 && { window: { center, width } }),
  };
}

/**
 * Describes a monochrome image of 8 or 16 bits.
 * @param dataSet everything before the pixel data
 * @returns undefined for what is no such image
 */
export function imageView(dataSet: DataSet): ImageView | undefined {
  const rows = number(dataSet, 'Rows');
  const columns = number(dataSet, 'Columns');
  const bitsAllocated = number(dataSet, 'BitsAllocated');
  const photometric = string(dataSet, 'PhotometricInterpretation') ?? 'MONOCHROME2';
  if (rows === undefined || columns === undefined || !/^MONOCHROME[12]$/.test(photometric)) return undefined;
  if (bitsAllocated !== 8 && bitsAllocated !== 16) return undefined;
  const shared = itemsOf(dataSet, 'SharedFunctionalGroupsSequence')[0];
  const perFrame = itemsOf(dataSet, 'PerFrameFunctionalGroupsSequence');
  const count = Math.max(1, number(dataSet, 'NumberOfFrames') ?? 1);
  const frames = Array.from({ length: count }, (_, index) => {
    const groups = [perFrame[index], shared];
    return frameView(
      macro(groups, 'PlanePositionSequence') ?? dataSet,
      macro(groups, 'PixelValueTransformationSequence') ?? dataSet,
      macro(groups, 'FrameVOILUTSequence') ?? dataSet,
    );
  });
  const groups = [perFrame[0], shared];
  const orientation = finite(
    numbers(macro(groups, 'PlaneOrientationSequence') ?? dataSet, 'ImageOrientationPatient'),
    6,
  );
  const spacing = finite(numbers(macro(groups, 'PixelMeasuresSequence') ?? dataSet, 'PixelSpacing'), 2);
  return {
    rows,
    columns,
    bitsAllocated,
    signed: number(dataSet, 'PixelRepresentation') === 1,
    inverted: photometric === 'MONOCHROME1',
    spacing: spacing?.every((value) => value > 0) ? [spacing[0]!, spacing[1]!] : [1, 1],
    ...(orientation && { orientation }),
    frames,
  };
}

/** Millimetres along the slices' normal: Image Position on the cross product of the row and column directions. */
export function positionAlongNormal(image: ImageView, frame: number): number | undefined {
  const at = image.frames[frame]?.position;
  if (at === undefined || image.orientation === undefined) return undefined;
  const [x, y, z] = at;
  const [a, b, c, d, e, f] = image.orientation as readonly [number, number, number, number, number, number];
  return x * (b * f - c * e) + y * (c * d - a * f) + z * (a * e - b * d);
}
