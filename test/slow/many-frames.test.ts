/** An Enhanced MR object of 4,000 frames through the whole server, in the memory of a few. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type DataSet, itemsOf, numbers, parseBeginning, string, strings } from '../../src/dicom/index.js';
import { sharedSeries } from '../peers/support/data.js';
import { frameOf, writeEnhanced } from '../peers/support/enhanced.js';
import { modelsFolder } from '../peers/support/mcnet.js';
import { eventually, needPrograms, runProgram, temporaryFolder } from '../peers/support/process.js';
import { startServerProcess } from '../peers/support/server.js';

const FRAMES = 4000;
const SIDE = 256;
/** Enough to be corrected on the disk, few enough for dciodvfy. */
const FEWER = 300;
/** Received pieces wait for their collection; source, corrected frames and derived file would be three copies beside. */
const MOST_MEMORY = 2 * FRAMES * SIDE * SIDE * 2;
const LONG_MS = 600_000;

/** Memory of a process, bytes: now, and the most there ever was. */
function memoryOf(pid: number): { now: number; most: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]);
  return { now: kilobytes('VmRSS') * 1024, most: kilobytes('VmHWM') * 1024 };
}

/** Error lines of dciodvfy, each once. */
async function errorsOf(path: string): Promise<Set<string>> {
  const { stdout, stderr } = await runProgram('dciodvfy', [path], { timeoutMs: LONG_MS });
  const lines = `${stdout}${stderr}`.split('\n').filter((line) => line.startsWith('Error'));
  return new Set(lines.map((line) => line.replace(/^(Error - Illegal root for UID - "[^"]*") in .*$/, '$1')));
}

/** Derived files, the largest first. */
function derivedFiles(data: string, sources: readonly string[]): string[] {
  const archive = join(data, 'archive');
  return readdirSync(archive, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.dcm') && !sources.some((uid) => name.endsWith(`${uid}.dcm`)))
    .map((name) => join(archive, name))
    .sort((one, other) => statSync(other).size - statSync(one).size);
}

function header(path: string): { dataSet: DataSet; pixelsAt: number } {
  const { dataSet, dataSetOffset, pixelData } = parseBeginning(readFileSync(path));
  assert.equal(pixelData?.length, FRAMES * SIDE * SIDE * 2);
  return { dataSet, pixelsAt: dataSetOffset + pixelData!.offset };
}

test(`${FRAMES} frames of ${SIDE}×${SIDE} are received, corrected and kept in bounded memory`, async (t: TestContext) => {
  if (!needPrograms(t, 'storescu', 'dciodvfy')) return;
  const [original] = sharedSeries(t, 'a09') ?? [];
  if (original === undefined) return;
  const folder = temporaryFolder(t);
  const path = join(folder, 'enhanced.dcm');
  const fewer = join(folder, 'fewer.dcm');
  const uid = writeEnhanced(path, original, FRAMES, SIDE);
  const fewerUid = writeEnhanced(fewer, original, FEWER, SIDE);
  const models = await modelsFolder(folder);
  const server = await startServerProcess(
    t,
    `models: ${models}\nrules: [{ name: all, model: tiny }]\nconcurrency: { workers: 1, inferenceThreads: 2 }`,
  );
  const idle = memoryOf(server.pid);
  const sent = await runProgram(
    'storescu',
    ['-to', '60', '-aec', 'MCNET', '127.0.0.1', String(server.dicomPort), path, fewer],
    { timeoutMs: LONG_MS },
  );
  assert.equal(sent.code, 0, sent.stderr);
  const received = memoryOf(server.pid);
  await eventually(
    'the object is corrected',
    async () => {
      const { series } = await server.get<{
        series: { state: string; counts: { corrected: number; failed: number } }[];
      }>('/api/series');
      assert.equal(series[0]?.counts.failed ?? 0, 0);
      return series[0]?.counts.corrected === 2 || undefined;
    },
    LONG_MS,
  );
  const done = memoryOf(server.pid);
  const grown = done.most - idle.now;
  t.diagnostic(
    `idle ${(idle.now / 2 ** 20).toFixed(0)} MiB, at most ${(received.most / 2 ** 20).toFixed(0)} while it was received, ${(done.most / 2 ** 20).toFixed(0)} in all`,
  );
  const [derived = '', derivedFewer = ''] = derivedFiles(server.data, [uid, fewerUid]);
  const [source, result] = [header(path), header(derived)];
  assert.equal(statSync(derived).size, result.pixelsAt + FRAMES * SIDE * SIDE * 2);
  assert.equal(string(result.dataSet, 'NumberOfFrames'), String(FRAMES));
  assert.deepEqual(strings(result.dataSet, 'ImageType').slice(0, 2), ['DERIVED', 'PRIMARY']);

  const [before, after] = [source, result].map(({ dataSet }) =>
    itemsOf(dataSet, 'PerFrameFunctionalGroupsSequence'),
  ) as [DataSet[], DataSet[]];
  assert.equal(after.length, FRAMES);
  const inner = (item: DataSet, sequence: string) => itemsOf(item, sequence)[0]!;
  for (let frame = 0; frame < FRAMES; frame += 1) {
    const [was, is] = [before[frame]!, after[frame]!];
    for (const tag of was.elements.keys())
      if ((tag & 0xffff) !== 0)
        assert.ok(is.elements.has(tag), `group ${tag.toString(16)} of frame ${frame + 1}`);
    assert.deepEqual(numbers(inner(is, 'FrameContentSequence'), 'InStackPositionNumber'), [frame + 1]);
    assert.deepEqual(
      numbers(inner(is, 'FrameContentSequence'), 'DimensionIndexValues'),
      numbers(inner(was, 'FrameContentSequence'), 'DimensionIndexValues'),
    );
    assert.deepEqual(
      numbers(inner(is, 'PlanePositionSequence'), 'ImagePositionPatient'),
      numbers(inner(was, 'PlanePositionSequence'), 'ImagePositionPatient'),
    );
    const image = inner(inner(is, 'DerivationImageSequence'), 'SourceImageSequence');
    assert.deepEqual(
      [string(image, 'ReferencedSOPInstanceUID'), strings(image, 'ReferencedFrameNumber')],
      [uid, [String(frame + 1)]],
    );
  }

  // Every frame is its own source's, blurred: alike, not the same.
  const file = readFileSync(derived);
  for (let frame = 0; frame < FRAMES; frame += 97) {
    const at = result.pixelsAt + frame * SIDE * SIDE * 2;
    const bytes = Uint8Array.from(file.subarray(at, at + SIDE * SIDE * 2));
    const pixels = new Uint16Array(bytes.buffer);
    const own = frameOf(frame, SIDE);
    let difference = 0;
    let same = 0;
    pixels.forEach((value, i) => {
      difference += Math.abs(value - own[i]!);
      same += Number(value === own[i]);
    });
    assert.ok(difference / pixels.length < 120 && same < pixels.length, `frame ${frame + 1}`);
  }
  const [known, found] = [await errorsOf(fewer), await errorsOf(derivedFewer)];
  assert.deepEqual(
    [...found].filter((line) => !known.has(line)),
    [],
  );
  assert.ok(grown < MOST_MEMORY, `${(grown / 2 ** 20).toFixed(0)} MiB more memory`);
});
