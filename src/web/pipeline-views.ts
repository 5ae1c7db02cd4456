import { open } from 'node:fs/promises';
import type { Archive, Instance } from '../archive/index.js';
import {
  type DataSet,
  DicomError,
  itemsOf,
  number,
  openFrames,
  parsePart10,
  type StoredPixels,
  string,
  strings,
} from '../dicom/index.js';
import type { Pipeline } from '../pipeline/index.js';
import { createReaderStudies } from '../reader-study/index.js';
import { reviewsOf } from '../series/index.js';
import { createAbout, type PatientDisplay } from './about.js';
import type { WebParts } from './app.js';
import { imageView, positionAlongNormal } from './image-view.js';
import { type PreviewFrame, renderPreview } from './preview.js';
import type { ImageView, ProvenanceView, SeriesView, SliceView } from './views.js';

/** Enough of most files for everything before the pixel data. */
const BEGINNING_BYTES = 64 * 1024;
/** Larger files have no preview: reading one whole for one frame would cost more than the picture is worth. */
const PREVIEW_BYTES = 256 * 1024 * 1024;
const HEADERS_AT_A_TIME = 8;
const PLACES_KEPT = 100_000;

/** Where an instance stands in its series, and how its pixels are stored. */
interface Place {
  position?: number;
  instanceNumber?: number;
  frames: number;
  image?: ImageView;
}

async function beginningOf(instance: Instance, bytes: number): Promise<Buffer> {
  const file = await open(instance.path);
  try {
    const buffer = Buffer.alloc(Math.min(bytes, instance.bytes));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

async function headerOf(instance: Instance): Promise<DataSet> {
  try {
    return parsePart10(await beginningOf(instance, BEGINNING_BYTES), { untilPixelData: true }).dataSet;
  } catch (error) {
    if (!(error instanceof DicomError) || error.code !== 'truncated' || instance.bytes <= BEGINNING_BYTES)
      throw error;
    return parsePart10(await beginningOf(instance, instance.bytes), { untilPixelData: true }).dataSet;
  }
}

function createPlaces(): (instance: Instance) => Promise<Place> {
  const known = new Map<number, Place>();
  return async (instance) => {
    const remembered = known.get(instance.id);
    if (remembered) return remembered;
    const place: Place = { frames: 1 };
    try {
      const dataSet = await headerOf(instance);
      const image = imageView(dataSet);
      if (image !== undefined) place.image = image;
      const position = image && positionAlongNormal(image, 0);
      const instanceNumber = number(dataSet, 'InstanceNumber');
      if (position !== undefined) place.position = position;
      if (instanceNumber !== undefined) place.instanceNumber = instanceNumber;
      place.frames = Math.max(1, number(dataSet, 'NumberOfFrames') ?? 1);
    } catch (error) {
      // A damaged file still stands in the list; its preview says that there is none.
      if (!(error instanceof DicomError) && (error as NodeJS.ErrnoException).code === undefined) throw error;
    }
    if (known.size >= PLACES_KEPT) known.clear();
    known.set(instance.id, place);
    return place;
  };
}

/** By position where every slice has one, else by Instance Number, else as they came. */
function compare(a: Place, b: Place, byPosition: boolean): number {
  const number = (a.instanceNumber ?? 0) - (b.instanceNumber ?? 0);
  return byPosition ? a.position! - b.position! || number : number;
}

function derivedOf(archive: Pick<Archive, 'derivedFrom'>, id: number): Instance | undefined {
  return archive.derivedFrom(id).findLast((instance) => instance.current);
}

async function frameOf(
  archive: Pick<Archive, 'readFile'>,
  instance: Instance,
  frame: number,
): Promise<PreviewFrame & { pixels: StoredPixels }> {
  const reader = await openFrames(parsePart10(await archive.readFile(instance)));
  if (frame > reader.count) throw new DicomError('undecodable', `there is no frame ${frame}`);
  return {
    rows: reader.rows,
    columns: reader.columns,
    pixels: reader.frame(frame - 1),
    inverted: reader.photometricInterpretation === 'MONOCHROME1',
  };
}

/** An enhanced object says it of every frame: PS3.3 C.7.6.16.2.6. */
function derivationOf(dataSet: DataSet): string {
  const ofFrames = itemsOf(dataSet, 'PerFrameFunctionalGroupsSequence').flatMap((groups) => {
    const own = itemsOf(groups, 'DerivationImageSequence').at(-1);
    return (own && string(own, 'DerivationDescription')) ?? [];
  });
  return [...new Set(ofFrames)].join('; ') || (string(dataSet, 'DerivationDescription') ?? '');
}

/** What a derived object says about how it came about. */
async function provenanceOf(derived: Instance): Promise<ProvenanceView> {
  const dataSet = await headerOf(derived);
  const equipment = itemsOf(dataSet, 'ContributingEquipmentSequence').at(-1);
  const made = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)/.exec(
    (equipment && string(equipment, 'ContributionDateTime')) ?? '',
  );
  return {
    series: derived.series,
    description: derivationOf(dataSet),
    softwareVersions: equipment ? strings(equipment, 'SoftwareVersions') : [],
    ...(made && { at: `${made[1]}-${made[2]}-${made[3]} ${made[4]}:${made[5]}:${made[6]}` }),
  };
}

/** What the page shows of the pipeline: the parts of {@link WebParts} that come from it. */
export function viewsOfPipeline(
  pipeline: Pick<Pipeline, 'archive' | 'series' | 'events' | 'retry' | 'retryFailed' | 'review'>,
  display: PatientDisplay = 'masked',
): Pick<
  WebParts,
  | 'series'
  | 'slices'
  | 'provenance'
  | 'pixels'
  | 'studies'
  | 'retry'
  | 'retryFailed'
  | 'review'
  | 'reviews'
  | 'preview'
  | 'onSeriesChange'
> {
  const { archive, events } = pipeline;
  const placeOf = createPlaces();
  const aboutOf = createAbout(archive, display);
  const withAbout = (view: SeriesView): SeriesView => {
    const about = aboutOf(view);
    return about === undefined ? view : { ...view, about };
  };

  return {
    series: {
      list: (filter) => pipeline.series.list(filter).map(withAbout),
      get(series) {
        const view = pipeline.series.get(series);
        return view && withAbout(view);
      },
    },

    async slices(series) {
      const view = pipeline.series.get(series);
      if (!view) return undefined;
      const instances = pipeline.series.instances(view.id);
      const placed: { instance: Instance; place: Place }[] = [];
      for (let i = 0; i < instances.length; i += HEADERS_AT_A_TIME) {
        const some = instances.slice(i, i + HEADERS_AT_A_TIME);
        placed.push(
          ...(await Promise.all(
            some.map(async (instance) => ({ instance, place: await placeOf(instance) })),
          )),
        );
      }
      const byPosition = placed.every(({ place }) => place.position !== undefined);
      placed.sort((a, b) => compare(a.place, b.place, byPosition));
      return placed.map(({ instance, place }): SliceView => {
        const derived = derivedOf(archive, instance.id);
        return {
          id: instance.id,
          sop: instance.sop,
          ...(place.position === undefined ? {} : { position: place.position }),
          frames: place.frames,
          state: instance.state,
          ...(instance.reason === '' ? {} : { reason: instance.reason }),
          derived: derived !== undefined,
          ...(derived && { derivedAt: { series: derived.series, sop: derived.sop } }),
          ...(derived?.quality && { quality: derived.quality }),
          ...(derived?.frameQuality && { frameQuality: derived.frameQuality }),
          ...(derived?.flags && { flags: derived.flags }),
          ...(place.image && { image: place.image }),
        };
      });
    },

    async provenance(series) {
      const view = pipeline.series.get(series);
      if (!view) return undefined;
      const found: ProvenanceView[] = [];
      for (const derived of view.derivedSeries) {
        const row = archive.db.get<{ id: number }>(
          'SELECT i.id FROM instances i JOIN series s ON s.id = i.series_id WHERE s.study = ? AND s.series = ? AND i.current = 1 AND i.damage IS NULL LIMIT 1',
          view.study,
          derived,
        );
        const instance = row && archive.get(row.id);
        if (instance) found.push(await provenanceOf(instance));
      }
      return found;
    },

    async review(series, review) {
      return pipeline.review(series, review);
    },

    reviews(series) {
      const view = pipeline.series.get(series);
      if (view) return reviewsOf(archive, view);
      const kept = reviewsOf(archive, { series });
      return kept.length > 0 ? kept : undefined;
    },

    async retry(series) {
      const replayed = await pipeline.retry(series);
      return replayed && { ...replayed };
    },

    async retryFailed(after, limit) {
      const { series, next, ...retried } = await pipeline.retryFailed(after, limit);
      return { series, retried: { ...retried }, ...(next !== undefined && { next }) };
    },

    async preview(id, of, frame) {
      const instance = archive.get(id);
      const derived = instance && of !== 'source' ? derivedOf(archive, id) : undefined;
      if (!instance || (of !== 'source' && !derived) || instance.bytes > PREVIEW_BYTES) return undefined;
      try {
        const source = await frameOf(archive, instance, frame);
        return renderPreview(of, source, derived && (await frameOf(archive, derived, frame)));
      } catch (error) {
        if (error instanceof DicomError) return undefined;
        throw error;
      }
    },

    async pixels(id, of, frame) {
      const instance = of === 'source' ? archive.get(id) : derivedOf(archive, id);
      if (!instance || instance.bytes > PREVIEW_BYTES) return undefined;
      try {
        return (await frameOf(archive, instance, frame)).pixels;
      } catch (error) {
        if (error instanceof DicomError) return undefined;
        throw error;
      }
    },

    studies: createReaderStudies(archive),

    onSeriesChange(listener) {
      const received = ({ instance }: { instance: Instance }) => listener(instance.series);
      const rejected = ({ series }: { series?: string }) => {
        if (series !== undefined) listener(series);
      };
      const corrected = ({ source }: { source: Instance }) => listener(source.series);
      const changed = ({ series }: { series: string }) => listener(series);
      // What is delivered is derived; what is shown is the series that it comes from.
      const delivered = ({ study, series, sop }: { study: string; series: string; sop: string }) => {
        const id = archive.versions(study, series, sop).at(-1)?.derivedFrom;
        const source = id === undefined ? undefined : archive.get(id);
        if (source) listener(source.series);
      };
      events.on('received', received).on('rejected', rejected).on('corrected', corrected);
      events.on('correctionFailed', corrected).on('series', changed).on('turnaround', changed);
      events.on('delivery', delivered).on('reviewed', changed).on('removed', changed);
      return () => {
        events.off('received', received).off('rejected', rejected).off('corrected', corrected);
        events.off('correctionFailed', corrected).off('series', changed).off('turnaround', changed);
        events.off('delivery', delivered).off('reviewed', changed).off('removed', changed);
      };
    },
  };
}
