import { INSTANCE_ATTRIBUTES, SERIES_ATTRIBUTES, STUDY_ATTRIBUTES } from '../../../src/archive/attributes.js';
import { dictionaryVr, tagOf } from '../../../src/dicom/index.js';
import { encodeDataSet, explicitLE, type Item, mrImage, nativePixels, part10 } from '../dicom/encode.js';

/** What a browser would run, if it took any of it for markup: in an element, an attribute, a script, an address. */
export const SCRIPT = `"'><img src=x onerror=alert(1)><script>alert(1)</script>\`\${alert(1)}`;
export const STUDY = '1.2.840.99.1';
export const SERIES = '1.2.840.99.1.1';

const TEXT = new Set([
  'AE',
  'AS',
  'CS',
  'LO',
  'LT',
  'PN',
  'SH',
  'ST',
  'UC',
  'UR',
  'UT',
  'DS',
  'IS',
  'DA',
  'TM',
]);
/** Without these no server takes the object, or no model corrects it. */
const NEEDED = new Set(['Modality', 'NumberOfFrames', 'ImagePositionPatient', 'ImageOrientationPatient']);

/** An MR image whose every indexed text attribute is a script; `modality` too, where it is not to be corrected. */
export function hostileObject(sop: string, options: { everything?: boolean } = {}): Buffer {
  const keywords = [...STUDY_ATTRIBUTES, ...SERIES_ATTRIBUTES, ...INSTANCE_ATTRIBUTES];
  const texts: Item = keywords
    .filter((keyword) => options.everything || !NEEDED.has(keyword))
    .filter((keyword) => TEXT.has(dictionaryVr(tagOf(keyword)) ?? ''))
    .map((keyword) => [tagOf(keyword), dictionaryVr(tagOf(keyword))!, SCRIPT]);
  const comments: Item = [
    [0x00204000, 'LT', SCRIPT],
    [0x00400254, 'LO', SCRIPT],
    [0x00081080, 'LO', SCRIPT],
  ];
  const uids: Item = [
    [0x0020000d, 'UI', STUDY],
    [0x0020000e, 'UI', SERIES],
    [0x00080018, 'UI', sop],
  ];
  const header = mrImage({ extra: [...texts, ...comments, ...uids] });
  const pixels = nativePixels(
    explicitLE,
    Array.from({ length: 24 }, (_, i) => i),
    16,
  );
  return part10(explicitLE, Buffer.concat([encodeDataSet(explicitLE, header), pixels]));
}
