import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { decodeFrames, parseDataSet, parsePart10, type StoredPixels } from '../../../src/dicom/index.js';
import { createTranscoder } from '../../../src/retrieve/transcoder.js';
import { encodeDataSet, explicitBE, implicitLE, mrImage, nativePixels, part10 } from '../dicom/encode.js';

const EXPLICIT = '1.2.840.10008.1.2.1';
const IMPLICIT = '1.2.840.10008.1.2';
const RLE = { uid: '1.2.840.10008.1.2.5', explicit: true, bigEndian: false };

/** RLE Lossless (PS3.5 annex G) without any run: two segments of literals. */
function rleFrame(words: readonly number[]): Buffer {
  const plane = (shift: number) => {
    const bytes = Buffer.from(words.map((word) => (word >> shift) & 0xff));
    const parts: Buffer[] = [];
    for (let at = 0; at < bytes.length; at += 128) {
      const run = bytes.subarray(at, at + 128);
      parts.push(Buffer.from([run.length - 1]), run);
    }
    const segment = Buffer.concat(parts);
    return segment.length % 2 === 0 ? segment : Buffer.concat([segment, Buffer.alloc(1)]);
  };
  const segments = [plane(8), plane(0)];
  const header = Buffer.alloc(64);
  header.writeUInt32LE(2, 0);
  header.writeUInt32LE(64, 4);
  header.writeUInt32LE(64 + segments[0]!.length, 8);
  return Buffer.concat([header, ...segments]);
}

function encapsulated(frames: readonly Buffer[]): Buffer {
  const item = (bytes: Buffer) => {
    const header = Buffer.from([0xfe, 0xff, 0x00, 0xe0, 0, 0, 0, 0]);
    header.writeUInt32LE(bytes.length, 4);
    return Buffer.concat([header, bytes]);
  };
  const start = Buffer.from([0xe0, 0x7f, 0x10, 0x00, 0x4f, 0x42, 0, 0, 0xff, 0xff, 0xff, 0xff]);
  const end = Buffer.from([0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0]);
  return Buffer.concat([start, item(Buffer.alloc(0)), ...frames.map(item), end]);
}

const size = { rows: 6, columns: 5 };
const words = Array.from({ length: 90 }, (_, i) => (i * 37) % 4096);
const image = (frames?: number) => mrImage({ ...size, bitsStored: 12, ...(frames && { frames }) });

async function collect(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

test('frames come one by one; broken objects fail before anything is sent, and alone', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'transcoder-'));
  const transcoder = createTranscoder();
  t.after(async () => {
    await transcoder.close();
    rmSync(folder, { recursive: true });
  });
  const write = (name: string, bytes: Buffer) => {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    return path;
  };
  const frames = [0, 30, 60].map((at) => rleFrame(words.slice(at, at + 30)));
  const good = write(
    'good.dcm',
    part10(RLE, Buffer.concat([encodeDataSet(RLE, image(3)), encapsulated(frames)])),
  );
  const cut = frames.map((frame, i) => (i === 0 ? frame.subarray(0, 66) : frame));
  const broken = write(
    'broken.dcm',
    part10(RLE, Buffer.concat([encodeDataSet(RLE, image(3)), encapsulated(cut)])),
  );
  const swapped = write(
    'swapped.dcm',
    part10(
      explicitBE,
      Buffer.concat([encodeDataSet(explicitBE, image()), nativePixels(explicitBE, words.slice(0, 30), 16)]),
    ),
  );

  const [first, second] = await Promise.all([
    transcoder.open(good, IMPLICIT),
    transcoder.open(swapped, EXPLICIT),
  ]);
  await assert.rejects(transcoder.open(broken, EXPLICIT), { code: 'undecodable' });
  await assert.rejects(transcoder.open(join(folder, 'absent.dcm'), EXPLICIT), /ENOENT/);
  const pixels = async (dataSet: Buffer, uid: string) => {
    const { frames: decoded } = await decodeFrames({
      ...parsePart10(part10(implicitLE, encodeDataSet(implicitLE, image()))),
      transferSyntaxUid: uid,
      dataSet: parseDataSet(dataSet, uid),
    });
    return decoded.flatMap((frame: StoredPixels) => [...frame]);
  };
  const implicit = await collect(first);
  assert.deepEqual(await pixels(implicit, IMPLICIT), words);
  assert.deepEqual(await pixels(await collect(second), EXPLICIT), words.slice(0, 30));
  assert.deepEqual(await collect(await transcoder.open(good, IMPLICIT)), implicit);
  // Leaving off in the middle frees what was open.
  for await (const piece of await transcoder.open(good, EXPLICIT)) {
    assert.ok(piece.length > 0);
    break;
  }
  await transcoder.close();
  await assert.rejects(transcoder.open(good, IMPLICIT), /stopping/);
});
