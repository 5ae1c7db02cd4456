import type { Archive, Instance } from '../archive/index.js';
import { decodeFrames, numbers, parsePart10, readHeader } from '../dicom/index.js';
import {
  type Picture,
  type PreviewFrame,
  type PreviewKind,
  renderPreview,
  type SliceView,
} from '../web/index.js';

async function frameOf(
  archive: Archive,
  instance: Instance,
  frame: number,
): Promise<PreviewFrame | undefined> {
  const { rows, columns, frames, photometricInterpretation } = await decodeFrames(
    parsePart10(await archive.readFile(instance)),
  );
  const pixels = frames[frame - 1];
  return pixels && { rows, columns, pixels, inverted: photometricInterpretation === 'MONOCHROME1' };
}

function newestDerived(archive: Archive, instance: Instance): Instance | undefined {
  return archive
    .derivedFrom(instance.id)
    .filter(({ current }) => current)
    .at(-1);
}

/** One frame (from 1) of a received instance, of what was derived from it, or their difference; undefined where none is. */
export async function preview(
  archive: Archive,
  id: number,
  of: PreviewKind,
  frame: number,
): Promise<Picture | undefined> {
  const instance = archive.get(id);
  if (instance === undefined || instance.origin !== 'received') return undefined;
  const derived = newestDerived(archive, instance);
  if (of !== 'source' && derived === undefined) return undefined;
  const source = await frameOf(archive, instance, frame);
  if (source === undefined) return undefined;
  return renderPreview(of, source, derived && (await frameOf(archive, derived, frame)));
}

/** Millimetres along the normal of the slice, from Image Position and Orientation (Patient) (PS3.3 C.7.6.2). */
async function positionOf(archive: Archive, instance: Instance): Promise<number | undefined> {
  const { dataSet } = readHeader(await archive.readFile(instance));
  const [x = Number.NaN, y = Number.NaN, z = Number.NaN] = numbers(dataSet, 'ImagePositionPatient');
  const [a, b, c, d, e, f] = numbers(dataSet, 'ImageOrientationPatient');
  if (f === undefined) return undefined;
  const position = x * (b! * f - c! * e!) + y * (c! * d! - a! * f) + z * (a! * e! - b! * d!);
  return Number.isFinite(position) ? position : undefined;
}

/** Received instances of a series in spatial order, those without a position last in order of arrival. */
export function createSlices(archive: Archive): (received: readonly Instance[]) => Promise<SliceView[]> {
  const positions = new Map<string, number | undefined>();
  return async (received) => {
    const views: SliceView[] = [];
    for (const instance of received) {
      const key = `${instance.id}`;
      if (!positions.has(key)) {
        positions.set(key, await positionOf(archive, instance).catch(() => undefined));
        if (positions.size > 20_000) positions.delete(positions.keys().next().value!);
      }
      const derived = newestDerived(archive, instance);
      const position = positions.get(key);
      views.push({
        id: instance.id,
        sop: instance.sop,
        frames: derived?.quality?.frames ?? 1,
        state: instance.state,
        derived: derived !== undefined,
        ...(position !== undefined && { position }),
        ...(instance.reason !== '' && { reason: instance.reason }),
        ...(derived?.quality && { quality: derived.quality }),
      });
    }
    const last = Number.POSITIVE_INFINITY;
    return views.sort((a, b) => (a.position ?? last) - (b.position ?? last) || a.id - b.id);
  };
}
