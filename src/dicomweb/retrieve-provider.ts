import { type Request, Router } from 'express';
import type { Instance } from '../archive/index.js';
import { DicomError, itemsOf, TransferSyntax, toOutgoing } from '../dicom/index.js';
import { type Acceptable, choose, chooseType, takes, written } from './accept.js';
import { acceptedBy, baseUrl, begun, instancePath, notAcceptable, send } from './answer.js';
import { jsonDataSet, jsonTag } from './dicom-json.js';
import { mayConvert, toExplicitLittleEndian } from './explicit-little-endian.js';
import type { FrameDecoder } from './frame-decoder.js';
import { type Body, framesAnswer } from './frames-answer.js';
import type { Holdings, ResourceKey } from './holdings.js';
import type { JsonDataSet } from './json-model.js';
import { multipart, type OutgoingPart } from './multipart-writer.js';
import { toNativeXml } from './native-model.js';
import { createOpenObjects } from './open-objects.js';
import { encodePng } from './png.js';
import { type ReaderOf, reading } from './read-access.js';
import { readAhead } from './read-ahead.js';
import { parseWindow, renderFrame } from './rendered.js';
import { RequestError } from './store-request.js';
import { openStored, type StoredObject, wholeFile } from './stored-object.js';

export interface RetrieveProviderOptions {
  /** What there is for whoever asks. */
  holdingsFor(request: Request): Pick<Holdings, 'instances'>;
  /** The reader's name, or undefined for one who may not read. This machine always may. */
  readerOf: ReaderOf;
  decoder: FrameDecoder;
}

const DICOM = 'application/dicom';
const JSON_TYPES = [
  { type: 'application/dicom+json', multipart: false },
  { type: 'application/json', multipart: false },
  { type: 'application/dicom+xml', multipart: true },
];
const PIXEL_DATA_TAGS = new Set(['7FE00008', '7FE00009', '7FE00010']);
/** Media types of renderings (PS3.18 table 8.7.4-1), the default first. */
const RENDERED_TYPES = ['image/jpeg', 'image/png'];
const DEFAULT_QUALITY = 90;
const MAX_FRAMES_ASKED = 100_000;
const HEADERS_AHEAD = 4;

function keyOf(request: Request): ResourceKey {
  const { study, series, sop } = request.params as Record<string, string | undefined>;
  return { study, series, sop };
}

/** The whole instances of the resource; some may be damaged and are left out. */
function resourceOf(
  holdings: Pick<Holdings, 'instances'>,
  key: ResourceKey,
): { instances: Instance[]; partial: boolean } {
  const all = holdings.instances(key);
  const instances = all.filter(({ damage }) => damage === undefined);
  if (all.length === 0) {
    const what = key.sop ? `instance ${key.sop}` : key.series ? `series ${key.series}` : `study ${key.study}`;
    throw new RequestError(404, `no ${what} is held here`);
  }
  if (instances.length === 0)
    throw new RequestError(500, 'what is held under this address is damaged on disk');
  return { instances, partial: instances.length < all.length };
}

/** An unreadable object is this server's failure (500), one that cannot be had in a form is not acceptable (406). */
async function refusing<T>(status: 406 | 500, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof DicomError)) throw error;
    const wrong = error.code === 'truncated' || error.code === 'malformed' || error.code === 'not-dicom';
    throw new RequestError(wrong ? 500 : status, `the object cannot be given like this: ${error.message}`);
  }
}

type Form = 'stored' | 'explicit';

/**
 * How an instance is given: without a transfer syntax asked for, in Explicit VR Little Endian where that can be had
 * (PS3.18 8.7.3.5.2), else as stored; undefined when it cannot be had as asked for.
 */
function formOf(transferSyntax: string, wanted: string | undefined): Form | undefined {
  if (wanted === '*' || wanted === transferSyntax) return 'stored';
  const plain = TransferSyntax.ExplicitVRLittleEndian;
  if (wanted === undefined)
    return transferSyntax !== plain && mayConvert(transferSyntax) ? 'explicit' : 'stored';
  return wanted === plain && mayConvert(transferSyntax) ? 'explicit' : undefined;
}

interface DicomFile {
  contentType: string;
  chunks: AsyncGenerator<Buffer, void>;
  length?: number;
}

function storedFile(instance: Instance): DicomFile {
  return {
    contentType: `${DICOM}; transfer-syntax=${instance.transferSyntax}`,
    chunks: wholeFile(instance),
    length: instance.bytes,
  };
}

async function explicitFile(instance: Instance, decoder: FrameDecoder): Promise<DicomFile> {
  return {
    contentType: `${DICOM}; transfer-syntax=${TransferSyntax.ExplicitVRLittleEndian}`,
    chunks: await begun(toExplicitLittleEndian(await openStored(instance), decoder)),
  };
}

/** In the form wished for; as stored, and labelled so, where that turns out to be impossible. */
async function fileIn(form: Form, instance: Instance, decoder: FrameDecoder): Promise<DicomFile> {
  if (form === 'stored') return storedFile(instance);
  try {
    return await explicitFile(instance, decoder);
  } catch (error) {
    if (error instanceof DicomError) return storedFile(instance);
    throw error;
  }
}

interface DicomOffer {
  type: string;
  multipart: boolean;
  transferSyntax: string | undefined;
  forms: (Form | undefined)[];
}

function offerDicom(
  wanted: Acceptable,
  instances: readonly Instance[],
  one: boolean,
): DicomOffer | undefined {
  if (!takes(wanted.type, DICOM)) return undefined;
  const isMultipart = wanted.multipart ?? true;
  if (!isMultipart && !one) return undefined;
  const wildcard = wanted.type !== DICOM;
  const transferSyntax = wanted.transferSyntax ?? (wildcard ? '*' : undefined);
  const forms = instances.map((instance) => formOf(instance.transferSyntax, transferSyntax));
  if (forms.every((form) => form === undefined)) return undefined;
  return { type: DICOM, multipart: isMultipart, transferSyntax, forms };
}

function parseFrameList(text: string, count: number): number[] {
  const list = text.split(',');
  if (list.length > MAX_FRAMES_ASKED || !list.every((item) => /^[1-9]\d{0,8}$/.test(item.trim()))) {
    throw new RequestError(400, 'frames must be a list of numbers from 1, divided by commas');
  }
  const numbers = list.map(Number);
  const beyond = numbers.find((number) => number > count);
  if (beyond !== undefined)
    throw new RequestError(404, `there is no frame ${beyond}: the instance has ${count}`);
  return numbers.map((number) => number - 1);
}

/** The value at a path of tags and item numbers. */
function valueAt(object: StoredObject, path: readonly string[]): Buffer {
  const missing = new RequestError(404, 'the instance has no value under this address');
  let { dataSet } = object;
  for (let at = 0; ; at += 2) {
    const tag = path[at];
    if (tag === undefined || !/^[0-9A-F]{8}$/i.test(tag)) throw missing;
    const element = dataSet.elements.get(Number.parseInt(tag, 16));
    if (element === undefined) throw missing;
    if (at === path.length - 1) {
      if (element.vr === 'SQ' || element.bytes.length === 0) throw missing;
      return toOutgoing(element, dataSet, false).bytes!;
    }
    const index = path[at + 1];
    const item = /^\d{1,7}$/.test(index ?? '') ? itemsOf(dataSet, element.tag)[Number(index)] : undefined;
    if (item === undefined) throw missing;
    dataSet = item;
  }
}

async function* bufferChunks(buffer: Buffer): AsyncGenerator<Buffer, void> {
  yield buffer;
}

/**
 * WADO-RS (PS3.18 10.4): studies, series, instances, their metadata, frames, renderings and bulk data. Everything is read
 * while it is sent.
 */
export function createRetrieveProvider({ holdingsFor, readerOf, decoder }: RetrieveProviderOptions): Router {
  const router = Router();
  const objects = createOpenObjects();
  const get = (paths: string[], handle: Parameters<typeof reading>[1]) => {
    router.get(paths, reading(readerOf, handle));
  };
  const study = '/studies/:study';
  const series = `${study}/series/:series`;
  const instance = `${series}/instances/:sop`;

  /** The one instance of the address, opened. */
  const objectOf = async (request: Request): Promise<StoredObject> => {
    const { instances } = resourceOf(holdingsFor(request), keyOf(request));
    return refusing(500, () => objects.open(instances[0]!));
  };

  get([study, series, instance], async (request, response) => {
    const key = keyOf(request);
    const { instances, partial } = resourceOf(holdingsFor(request), key);
    const offer = choose(acceptedBy(request), (wanted) =>
      offerDicom(wanted, instances, key.sop !== undefined),
    );
    if (!offer) {
      const syntaxes = [...new Set(instances.map(({ transferSyntax }) => transferSyntax))].join(', ');
      throw notAcceptable(
        `multipart/related of ${DICOM}, in ${syntaxes} as stored, or in Explicit VR Little Endian`,
      );
    }
    if (!offer.multipart) {
      const [form] = offer.forms;
      const only = instances[0]!;
      const strict = offer.transferSyntax !== undefined && form === 'explicit';
      const file = strict
        ? await refusing(406, () => explicitFile(only, decoder))
        : await fileIn(form!, only, decoder);
      return refusing(500, () => send(request, response, file));
    }
    async function* parts(): AsyncGenerator<OutgoingPart, void> {
      for (const [index, each] of instances.entries()) {
        const form = offer!.forms[index];
        if (form === undefined) continue;
        const { contentType, chunks } = await fileIn(form, each, decoder);
        const headers = {
          'Content-Type': contentType,
          'Content-Location': `${baseUrl(request)}${instancePath(each)}`,
        };
        yield { headers, body: chunks };
      }
    }
    const missing = partial || offer.forms.includes(undefined);
    return refusing(500, () => send(request, response, multipart(DICOM, parts()), missing ? 206 : 200));
  });

  get([`${study}/metadata`, `${series}/metadata`, `${instance}/metadata`], async (request, response) => {
    const { instances, partial } = resourceOf(holdingsFor(request), keyOf(request));
    const offer = chooseType(acceptedBy(request), JSON_TYPES);
    if (!offer) throw notAcceptable(JSON_TYPES.map(written).join(', '));
    const base = baseUrl(request);
    const metadataOf = async (each: Instance): Promise<JsonDataSet> => {
      const { dataSet, pixelData } = await openStored(each);
      const bulkDataUri = (path: readonly string[]) =>
        `${base}${instancePath(each)}/bulkdata/${path.join('/')}`;
      const json = jsonDataSet(dataSet, { bulkDataUri });
      if (pixelData) {
        const tag = jsonTag(pixelData.tag);
        json[tag] = { vr: pixelData.vr, BulkDataURI: bulkDataUri([tag]) };
      }
      return json;
    };
    async function* asJson(): AsyncGenerator<Buffer, void> {
      let before = '[';
      for await (const metadata of readAhead(instances, HEADERS_AHEAD, metadataOf)) {
        yield Buffer.from(`${before}${JSON.stringify(metadata)}`);
        before = ',\n';
      }
      yield Buffer.from(']');
    }
    async function* asXml(): AsyncGenerator<OutgoingPart, void> {
      for await (const metadata of readAhead(instances, HEADERS_AHEAD, metadataOf)) {
        const headers = { 'Content-Type': offer!.type };
        yield { headers, body: Buffer.from(toNativeXml(metadata)) };
      }
    }
    const body: Body = offer.multipart
      ? multipart(offer.type, asXml())
      : { contentType: offer.type, chunks: asJson() };
    return refusing(500, () => send(request, response, body, partial ? 206 : 200));
  });

  get([`${instance}/frames/:frames`], async (request, response) => {
    const object = await objectOf(request);
    const at = `${baseUrl(request)}${instancePath(object.instance)}/frames`;
    const body = await refusing(406, async () =>
      framesAnswer({
        object,
        frames: await objects.frames(object),
        accepted: acceptedBy(request),
        indexes: (count) => parseFrameList(String(request.params.frames), count),
        location: (index) => `${at}/${(index ?? 0) + 1}`,
        decoder,
      }),
    );
    return refusing(500, () => send(request, response, body));
  });

  get([`${instance}/rendered`, `${instance}/frames/:frames/rendered`], async (request, response) => {
    const object = await objectOf(request);
    const { frames: list } = request.params;
    const frames = await refusing(406, () => objects.frames(object));
    const indexes = typeof list === 'string' ? parseFrameList(list, frames.count) : undefined;
    const { window } = request.query;
    const asked = window === undefined ? undefined : parseWindow(String(window));
    if (window !== undefined && asked === undefined) {
      throw new RequestError(400, 'window must be center,width or center,width,linear|linear-exact|sigmoid');
    }
    const quality = request.query.quality === undefined ? DEFAULT_QUALITY : Number(request.query.quality);
    if (!Number.isInteger(quality) || quality < 1 || quality > 100) {
      throw new RequestError(400, 'quality must be a whole number from 1 to 100');
    }
    const ignored = ['viewport', 'annotation', 'iccprofile'].filter((name) => name in request.query);
    if (ignored.length > 0) response.set('Warning', `299 mcnet "ignored: ${ignored.join(', ')}"`);
    const single = RENDERED_TYPES.map((type) => ({ type, multipart: false }));
    const related = RENDERED_TYPES.map((type) => ({ type, multipart: true }));
    // One picture where no list asks for more: the first frame.
    const offer = chooseType(
      acceptedBy(request),
      indexes !== undefined && indexes.length > 1 ? related : [...single, ...related],
    );
    if (!offer) throw notAcceptable(`${RENDERED_TYPES.join(', ')}, of several frames as multipart/related`);
    const picture = async (index: number) => {
      const rendered = await renderFrame(object, frames, index, decoder, asked);
      return offer.type === 'image/jpeg' ? decoder.encodeJpeg(rendered, quality) : encodePng(rendered);
    };
    if (!offer.multipart) {
      const bytes = await refusing(406, () => picture(indexes?.[0] ?? 0));
      return send(request, response, {
        contentType: offer.type,
        chunks: bufferChunks(bytes),
        length: bytes.length,
      });
    }
    const at = `${baseUrl(request)}${instancePath(object.instance)}/frames`;
    async function* parts(): AsyncGenerator<OutgoingPart, void> {
      for (const index of indexes ?? Array.from({ length: frames.count }, (_, i) => i)) {
        const headers = { 'Content-Type': offer!.type, 'Content-Location': `${at}/${index + 1}/rendered` };
        yield { headers, body: await picture(index) };
      }
    }
    return refusing(406, () => send(request, response, multipart(offer.type, parts())));
  });

  get([`${instance}/bulkdata/*path`], async (request, response) => {
    const object = await objectOf(request);
    const path = (request.params.path as unknown as string[]).map((part) => part.toUpperCase());
    const at = `${baseUrl(request)}${instancePath(object.instance)}`;
    if (path.length === 1 && PIXEL_DATA_TAGS.has(path[0]!)) {
      if (object.pixelData === undefined || jsonTag(object.pixelData.tag) !== path[0]) {
        throw new RequestError(404, 'the instance has no pixel data');
      }
      const body = await refusing(406, async () =>
        framesAnswer({
          object,
          frames: await objects.frames(object),
          accepted: acceptedBy(request),
          indexes: undefined,
          location: (index) =>
            index === undefined ? `${at}/bulkdata/${path[0]}` : `${at}/frames/${index + 1}`,
          decoder,
        }),
      );
      return refusing(500, () => send(request, response, body));
    }
    const value = await refusing(500, () => valueAt(object, path));
    const type = 'application/octet-stream';
    const offer = chooseType(acceptedBy(request), [
      { type, multipart: true },
      { type, multipart: false },
    ]);
    if (!offer) throw notAcceptable(type);
    const headers = { 'Content-Type': type, 'Content-Location': `${at}/bulkdata/${path.join('/')}` };
    return send(
      request,
      response,
      offer.multipart
        ? multipart(type, [{ headers, body: value }])
        : { contentType: type, chunks: bufferChunks(value), length: value.length },
    );
  });

  return router;
}
