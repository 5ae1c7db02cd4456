import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inflateSync } from 'node:zlib';
import { drawSheet, encodePng, svgToPng } from '../../figures/index.js';

test('a grey PNG holds the pixels given, row by row', () => {
  const png = encodePng(Uint8Array.of(0, 50, 100, 150, 200, 255), 2, 3);
  assert.equal(png.readUInt32BE(16), 3);
  assert.equal(png.readUInt32BE(20), 2);
  const start = png.indexOf('IDAT') + 4;
  const body = inflateSync(png.subarray(start, start + png.readUInt32BE(start - 8)));
  assert.deepEqual([...body], [0, 0, 50, 100, 0, 150, 200, 255]);
  assert.throws(() => encodePng(new Uint8Array(5), 2, 3), /needs 6 bytes/);
});

test('a sheet is drawn with its panels and its text', () => {
  const pixels = Float32Array.from({ length: 64 }, (_, index) => index / 63);
  const panel = { pixels, rows: 8, columns: 8, low: 0, high: 1, caption: 'SSIM 0.5 < 0.9' };
  const svg = drawSheet({
    title: 'Title & more',
    columns: ['clean', 'residual'],
    rows: [{ label: 'slice 1', panels: [panel, { ...panel, scale: 'diverging' as const }] }],
    panelWidth: 64,
  });
  assert.match(svg, /Title &#38; more/);
  assert.equal(svg.match(/<image /g)?.length, 2);
  const png = svgToPng(svg);
  assert.ok(png.subarray(1, 4).equals(Buffer.from('PNG')));
  const blank = svgToPng(svg.replace(/<text.*?<\/text>/g, ''));
  assert.notDeepEqual(png, blank, 'the text is drawn: the font was found');
});
