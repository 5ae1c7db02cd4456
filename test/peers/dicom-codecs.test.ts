/** Our decoders against what DCMTK and GDCM write and read. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { decodeFrames, type Frames, parsePart10, string } from '../../src/dicom/index.js';
import { encodeDataSet, explicitLE, mrImage, nativePixels, part10 } from '../unit/dicom/encode.js';

const folder = mkdtempSync(join(tmpdir(), 'mcnet-codecs-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const env = { ...process.env, TCP_NODELAY: '1' };

function missing(...tools: string[]): string | false {
  const absent = tools.filter((tool) => spawnSync(tool, ['--version'], { env }).error !== undefined);
  return absent.length === 0 ? false : `${absent.join(', ')} not installed`;
}

const size = 96;

/** A smooth image with noise, so that every predictor and code path has work. */
function source(bitsStored: number, signed: boolean, frames = 1): { path: string; words: number[] } {
  const amplitude = 2 ** (bitsStored - 1) - 1;
  const words = Array.from({ length: size * size * frames }, (_, i) => {
    const [x, y] = [i % size, Math.floor(i / size)];
    const wave = Math.sin(x / 9) * Math.cos(y / 7) * 0.8 + (((x * 73 + y * 151) % 17) / 17 - 0.5) * 0.1;
    const flat = x > 40 && x < 60 ? 0 : wave;
    return Math.round(flat * amplitude) + (signed ? 0 : amplitude);
  });
  const bitsAllocated = bitsStored > 8 ? 16 : 8;
  const image = mrImage({
    rows: size,
    columns: size,
    bitsAllocated,
    bitsStored,
    signed,
    ...(frames > 1 ? { frames } : {}),
  });
  const path = join(folder, `source-${bitsStored}${signed ? 's' : 'u'}${frames}.dcm`);
  writeFileSync(
    path,
    part10(
      explicitLE,
      Buffer.concat([encodeDataSet(explicitLE, image), nativePixels(explicitLE, words, bitsAllocated)]),
    ),
  );
  return { path, words };
}

function run(tool: string, ...args: string[]): void {
  const result = spawnSync(tool, args, { env, encoding: 'latin1', timeout: 60_000 });
  assert.equal(result.status, 0, `${tool} ${args.join(' ')}: ${result.stderr}`);
}

async function read(path: string): Promise<Frames & { syntax: string }> {
  const file = parsePart10(readFileSync(path));
  return { ...(await decodeFrames(file)), syntax: string(file.meta, 'TransferSyntaxUID')! };
}

const lossless: [name: string, syntax: string, tool: string, args: string[], depths: [number, boolean][]][] =
  [
    [
      'dcmcrle',
      '1.2.840.10008.1.2.5',
      'dcmcrle',
      [],
      [
        [8, false],
        [12, false],
        [16, true],
      ],
    ],
    [
      'dcmcjpeg first order',
      '1.2.840.10008.1.2.4.70',
      'dcmcjpeg',
      ['+e1'],
      [
        [8, false],
        [12, false],
        [16, false],
      ],
    ],
    [
      'dcmcjpeg predictor 6',
      '1.2.840.10008.1.2.4.57',
      'dcmcjpeg',
      ['+el', '+sv', '6'],
      [
        [12, false],
        [16, false],
      ],
    ],
    [
      'dcmcjpls',
      '1.2.840.10008.1.2.4.80',
      'dcmcjpls',
      ['+el'],
      [
        [8, false],
        [12, false],
        [16, false],
      ],
    ],
    [
      'gdcmconv JPEG 2000',
      '1.2.840.10008.1.2.4.90',
      'gdcmconv',
      ['--j2k'],
      [
        [8, false],
        [12, false],
        [12, true],
        [16, true],
      ],
    ],
    [
      'gdcmconv JPEG-LS',
      '1.2.840.10008.1.2.4.80',
      'gdcmconv',
      ['--jpegls'],
      [
        [12, false],
        [16, false],
      ],
    ],
    [
      'gdcmconv big endian',
      '1.2.840.10008.1.2.2',
      'dcmconv',
      ['+tb'],
      [
        [8, false],
        [12, false],
        [16, true],
      ],
    ],
    ['dcmconv deflated', '1.2.840.10008.1.2.1.99', 'dcmconv', ['+td'], [[12, true]]],
    ['dcmconv implicit', '1.2.840.10008.1.2', 'dcmconv', ['+ti'], [[16, true]]],
  ];

for (const [name, syntax, tool, args, depths] of lossless) {
  test(`${name}: every stored value comes back`, { skip: missing(tool) }, async () => {
    for (const [bitsStored, signed] of depths) {
      for (const frames of [1, 3]) {
        const { path, words } = source(bitsStored, signed, frames);
        const out = join(folder, 'out.dcm');
        run(tool, ...args, path, out);
        const decoded = await read(out);
        assert.equal(decoded.syntax, syntax);
        const label = `${bitsStored} bits ${signed ? 'signed' : 'unsigned'}, ${frames} frame(s)`;
        assert.deepEqual(
          decoded.frames.flatMap((frame) => [...frame]),
          words,
          label,
        );
        assert.equal(decoded.lossy, false, label);
      }
    }
  });
}

test('dcmcjpeg in small fragments with and without offset table', { skip: missing('dcmcjpeg') }, async () => {
  for (const table of ['+ot', '-ot']) {
    const { path, words } = source(12, false, 3);
    const out = join(folder, 'fragments.dcm');
    run('dcmcjpeg', '+e1', '+fs', '2', table, path, out);
    const fragments = parsePart10(readFileSync(out)).dataSet.elements.get(0x7fe00010)!.fragments!;
    assert.ok(fragments.length > 4, 'several fragments a frame');
    assert.deepEqual(
      (await read(out)).frames.flatMap((frame) => [...frame]),
      words,
      table,
    );
  }
});

const lossy: [name: string, syntax: string, encode: [string, ...string[]], decode: string, bits: number][] = [
  ['JPEG baseline', '1.2.840.10008.1.2.4.50', ['dcmcjpeg', '+eb', '+q', '85'], 'dcmdjpeg', 8],
  ['JPEG extended', '1.2.840.10008.1.2.4.51', ['dcmcjpeg', '+ee', '+q', '85'], 'dcmdjpeg', 12],
  ['JPEG-LS near-lossless', '1.2.840.10008.1.2.4.81', ['dcmcjpls', '+en', '+md', '4'], 'dcmdjpls', 12],
];
for (const [name, syntax, [tool, ...args], decoder, bits] of lossy) {
  test(`${name} decodes as DCMTK decodes it`, { skip: missing(tool, decoder) }, async () => {
    const { path } = source(bits, false);
    const encoded = join(folder, 'lossy.dcm');
    const reference = join(folder, 'reference.dcm');
    run(tool, ...args, path, encoded);
    run(decoder, encoded, reference);
    const ours = await read(encoded);
    assert.equal(ours.syntax, syntax);
    assert.deepEqual(ours.frames, (await read(reference)).frames);
    assert.equal(ours.lossy, true);
  });
}
