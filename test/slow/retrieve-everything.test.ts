/** Every object of the shared data through WADO-RS: what can be decoded comes out as it is, what cannot gets a sentence. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import * as dicom from '../../src/dicom/index.js';
import { DATA } from '../peers/support/data.js';
import { get, startArchiveServer } from '../unit/dicomweb/archive-server.js';

const PLAIN = '1.2.840.10008.1.2.1';
const FILES_A_FOLDER = 3;

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** The first frame's stored values; undefined where this program does not decode the object. */
async function firstFrame(file: Buffer): Promise<Buffer | undefined> {
  try {
    const frame = (await dicom.openFrames(dicom.parsePart10(file))).frame(0);
    return Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  } catch (error) {
    if (error instanceof dicom.DicomError) return undefined;
    throw error;
  }
}

/** Bits of the stored values that count: native frames are given as stored, with what others left above them. */
function masked(frame: Buffer, file: Buffer): Buffer {
  const { dataSet } = dicom.readHeader(file);
  const [allocated, stored] = ['BitsAllocated', 'BitsStored'].map(
    (name) => dicom.number(dataSet, name) ?? 16,
  );
  const high = dicom.number(dataSet, 'HighBit') ?? stored! - 1;
  if (allocated !== 16 || (stored === 16 && high === 15)) return frame;
  const words = Uint16Array.from(
    new Uint16Array(frame.buffer.slice(frame.byteOffset, frame.byteOffset + frame.length)),
  );
  const signed = dicom.number(dataSet, 'PixelRepresentation') === 1;
  const moved = words.map((word) =>
    signed ? ((word << (31 - high)) >> (32 - stored!)) & 0xffff : (word << (31 - high)) >>> (32 - stored!),
  );
  return Buffer.from(moved.buffer);
}

test('every real and every odd object: as stored, converted, metadata, frame and rendering', async (t) => {
  let folders: string[];
  try {
    folders = readdirSync(join(DATA, 'dicom'), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name));
  } catch {
    return t.skip(`no shared data under ${DATA}: set MCNET_DATA`);
  }
  const server = await startArchiveServer(t);
  const seen = { held: 0, converted: 0, frames: 0, rendered: 0, refused: 0 };
  for (const folder of folders) {
    const all = filesOf(folder);
    const step = folder.includes('nasty') ? 1 : Math.max(1, Math.floor(all.length / FILES_A_FOLDER));
    const some = all.filter((_, index) => index % step === 0);
    for (const path of some) {
      const file = readFileSync(path);
      let stored: Awaited<ReturnType<typeof server.store>>;
      try {
        stored = await server.store(file);
      } catch {
        continue; // refused at the door
      }
      if (stored.outcome === 'duplicate') continue;
      seen.held += 1;
      const { study, series, sop } = stored.instance;
      const at = `${server.url}/studies/${study}/series/${series}/instances/${sop}`;
      const asStored = await get(at, 'application/dicom; transfer-syntax=*');
      assert.ok(asStored.body.equals(file), path);

      const metadata = await get(`${at}/metadata`);
      assert.equal(metadata.status, 200, `${path}: ${metadata.body}`);
      const [attributes] = metadata.json<Record<string, { Value?: unknown[] }>[]>();
      assert.equal(attributes!['00080018']?.Value?.[0], sop, path);

      const truth = await firstFrame(file);
      const converted = await get(at, `application/dicom; transfer-syntax=${PLAIN}`);
      if (converted.status === 200) {
        seen.converted += 1;
        dicom.verifyWhole(converted.body);
        const pixels = await firstFrame(converted.body);
        assert.deepEqual(pixels === undefined, truth === undefined, path);
        assert.ok(pixels === undefined || pixels.equals(truth!), path);
      } else assert.ok(converted.status === 406 || converted.status === 500, `${path}: ${converted.status}`);

      const frame = await get(`${at}/frames/1`, 'application/octet-stream');
      if (frame.status === 200) {
        seen.frames += 1;
        const compressed = dicom.compressionOf(stored.instance.transferSyntax) !== undefined;
        if (truth) assert.ok((compressed ? frame.body : masked(frame.body, file)).equals(truth), path);
      } else {
        seen.refused += 1;
        assert.ok([406, 500].includes(frame.status), `${path}: ${frame.status}`);
        assert.ok(frame.json<{ error: string }>().error.length > 10);
        assert.equal(truth, undefined, `${path}: decodable, and its frame refused: ${frame.body}`);
      }
      const rendered = await get(`${at}/rendered`);
      if (rendered.status === 200) {
        seen.rendered += 1;
        // JPEG by default.
        assert.equal(rendered.body.readUInt16BE(0), 0xffd8);
      } else {
        assert.ok([406, 500].includes(rendered.status), `${path}: ${rendered.status} ${rendered.body}`);
        assert.equal(truth, undefined, `${path}: decodable, and not rendered: ${rendered.body}`);
      }
    }
  }
  t.diagnostic(JSON.stringify(seen));
  assert.ok(seen.held > 80 && seen.frames > 60 && seen.converted >= seen.frames);
  const found = await get(`${server.url}/instances?limit=1000`);
  assert.equal(found.json<unknown[]>().length, seen.held - superseded(server.pipeline));
});

/** Versions that no longer count: some files of the data share a SOP Instance UID. */
function superseded({ archive }: { archive: { db: { get<Row>(sql: string): Row | undefined } } }): number {
  return archive.db.get<{ n: number }>('SELECT COUNT(*) AS n FROM instances WHERE current = 0')!.n;
}
