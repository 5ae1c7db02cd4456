/** Lossy Image Compression: PS3.3 C.7.6.1.1.5. */
import { codestreamFacts } from './codestream.js';
import type { DataSet } from './data-set.js';
import { text } from './derivation.js';
import { tagOf } from './dictionary.js';
import type { FrameReader } from './pixels.js';
import { string } from './values.js';
import type { OutgoingElement } from './writer.js';

const LOSSY = tagOf('LossyImageCompression');
const LOSSY_RATIO = tagOf('LossyImageCompressionRatio');
const LOSSY_METHOD = tagOf('LossyImageCompressionMethod');

/** What is asked about an image that may have been compressed. */
export type CompressedImage = Pick<FrameReader, 'rows' | 'columns' | 'count' | 'bitsStored' | 'compressed'>;

/** What was lost once stays lost: what a source that is compressed with losses, and does not say so, lacks. */
export function lossyCompression(dataSet: DataSet, image: CompressedImage): OutgoingElement[] {
  const { compressed, ...layout } = image;
  if (compressed === undefined || string(dataSet, LOSSY) === '01') return [];
  const { compression, first, bytes } = compressed;
  if (codestreamFacts(first, compression)?.lossy !== true) return [];
  const original = layout.rows * layout.columns * layout.count * Math.ceil(layout.bitsStored / 8);
  const method = {
    jpeg: 'ISO_10918_1',
    'jpeg-ls': 'ISO_14495_1',
    'jpeg-2000': 'ISO_15444_1',
    htj2k: 'ISO_15444_15',
    rle: '',
  }[compression];
  const elements = [text('LossyImageCompression', 'CS', '01')];
  if (!dataSet.elements.has(LOSSY_RATIO)) {
    elements.push(text('LossyImageCompressionRatio', 'DS', (original / bytes).toFixed(2)));
  }
  if (!dataSet.elements.has(LOSSY_METHOD)) elements.push(text('LossyImageCompressionMethod', 'CS', method));
  return elements;
}
