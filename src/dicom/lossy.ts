/** Lossy Image Compression: PS3.3 C.7.6.1.1.5. */
import { codestreamFacts } from './codestream.js';
import { text } from './derivation.js';
import { tagOf } from './dictionary.js';
import { frameBytes } from './encapsulated.js';
import type { Part10 } from './part10.js';
import type { PixelLayout } from './pixels.js';
import { compressionOf } from './transfer-syntax.js';
import { string } from './values.js';
import type { OutgoingElement } from './writer.js';

const LOSSY = tagOf('LossyImageCompression');
const LOSSY_RATIO = tagOf('LossyImageCompressionRatio');
const LOSSY_METHOD = tagOf('LossyImageCompressionMethod');

/** What was lost once stays lost: what a source that is compressed with losses, and does not say so, lacks. */
export function lossyCompression(source: Part10, layout: PixelLayout): OutgoingElement[] {
  const { dataSet } = source;
  const compression = compressionOf(source.transferSyntaxUid);
  if (compression === undefined || string(dataSet, LOSSY) === '01') return [];
  const frames = frameBytes(dataSet, layout.count, compression);
  if (codestreamFacts(frames[0]!, compression)?.lossy !== true) return [];
  const compressed = frames.reduce((sum, frame) => sum + frame.length, 0);
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
    elements.push(text('LossyImageCompressionRatio', 'DS', (original / compressed).toFixed(2)));
  }
  if (!dataSet.elements.has(LOSSY_METHOD)) elements.push(text('LossyImageCompressionMethod', 'CS', method));
  return elements;
}
