/** Multi-frame objects of any length, made from a real one. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import {
  DataSetWriter,
  itemToOutgoing,
  type OutgoingElement,
  parsePart10,
  tagOf,
  writeMetaHeader,
} from '../../../src/dicom/index.js';

const PER_FRAME = tagOf('PerFrameFunctionalGroupsSequence');
const PIXEL_DATA = 0x7fe00010;
const EXPLICIT = '1.2.840.10008.1.2.1';

const us = (value: number) => {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
};
const ul = (...values: number[]) => {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => {
    bytes.writeUInt32LE(value, 4 * i);
  });
  return bytes;
};

/** The elements with one of them, at the end of a path of first items, given another value. */
function changed(
  elements: readonly OutgoingElement[],
  [keyword, ...path]: readonly string[],
  change: (bytes: Buffer) => Buffer,
): OutgoingElement[] {
  return elements.map((element) => {
    if (element.tag !== tagOf(keyword!)) return element;
    if (path.length === 0) return { ...element, bytes: change(element.bytes ?? Buffer.alloc(0)) };
    return { ...element, items: element.items?.map((item) => changed(item, path, change)) ?? [] };
  });
}

/** Stored values of frame `index`: a textured disc that moves, 12 bits. */
export function frameOf(index: number, side: number): Uint16Array {
  const middle = side / 2 + 6 * Math.sin(index / 50);
  return Uint16Array.from({ length: side * side }, (_, i) => {
    const [x, y] = [(i % side) - middle, Math.floor(i / side) - side / 2];
    const inside = x * x + y * y < (side / 3) ** 2;
    return inside ? 1200 + ((x * 7 + y * 13 + index * 3) & 255) : (i * 31 + index) & 15;
  });
}

/**
 * Writes an object of `frames` frames of side × side whose functional groups are those of the original, over and over,
 * each with its own position, index and time.
 * @returns its SOP Instance UID
 */
export function writeEnhanced(path: string, original: string, frames: number, side: number): string {
  const source = parsePart10(readFileSync(original));
  const uid = `2.25.${7 * frames + side}0001`;
  let elements = itemToOutgoing(source.dataSet, false).filter(({ tag }) => tag < PIXEL_DATA);
  const items = elements.find(({ tag }) => tag === PER_FRAME)!.items!;
  const set = (keyword: string, bytes: Buffer) => {
    elements = changed(elements, [keyword], () => bytes);
  };
  set('SOPInstanceUID', Buffer.from(uid));
  set('NumberOfFrames', Buffer.from(String(frames)));
  set('Rows', us(side));
  set('Columns', us(side));
  const groupsOf = (frame: number) => {
    let groups = items[frame % items.length]!;
    const content = (keyword: string, change: (bytes: Buffer) => Buffer) => {
      groups = changed(groups, ['FrameContentSequence', keyword], change);
    };
    content('DimensionIndexValues', (bytes) => Buffer.concat([bytes.subarray(0, -4), ul(frame + 1)]));
    content('InStackPositionNumber', () => ul(frame + 1));
    groups = changed(groups, ['PlanePositionSequence', 'ImagePositionPatient'], () =>
      Buffer.from(`-100.5\\-80.25\\${(frame / 10).toFixed(1)}`),
    );
    return groups;
  };
  const writer = new DataSetWriter(64 * 1024 * 1024);
  writer.bytes(
    writeMetaHeader({
      sopClassUid: '1.2.840.10008.5.1.4.1.1.4.1',
      sopInstanceUid: uid,
      transferSyntaxUid: EXPLICIT,
    }),
  );
  for (const element of elements) {
    if (element.tag !== PER_FRAME) writer.element(element);
    else {
      const all = Array.from({ length: frames }, (_, frame) => frame);
      writer.sequence(PER_FRAME, all, (frame) => {
        for (const group of groupsOf(frame)) writer.element(group);
      });
    }
  }
  writer.header(PIXEL_DATA, 'OW', frames * side * side * 2);
  const file = openSync(path, 'w');
  try {
    writeSync(file, writer.finish());
    for (let frame = 0; frame < frames; frame += 1) writeSync(file, Buffer.from(frameOf(frame, side).buffer));
  } finally {
    closeSync(file);
  }
  return uid;
}
