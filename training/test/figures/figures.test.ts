import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inflateSync } from 'node:zlib';
import { drawCharts, drawSheet, encodePng, roundTicks, svgToPng } from '../../figures/index.js';

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

test('ticks are round numbers inside the range', () => {
  const labels = (low: number, high: number) => roundTicks(low, high).map((tick) => tick.label);
  assert.deepEqual(labels(0, 1), ['0.0', '0.2', '0.4', '0.6', '0.8', '1.0']);
  assert.deepEqual(labels(-12, 31), ['-10', '0', '10', '20', '30']);
  assert.deepEqual(labels(0.981, 1), ['0.985', '0.990', '0.995', '1.000']);
  assert.deepEqual(labels(0, 12.4), ['0.0', '2.5', '5.0', '7.5', '10.0']);
});

test('a chart puts its points where the axes say', () => {
  const svg = drawCharts(
    [
      {
        title: 'A & B',
        xLabel: 'x',
        yLabel: 'y',
        x: [0, 10],
        y: [0, 1],
        series: [
          {
            kind: 'points',
            points: [
              [0, 0],
              [10, 1],
              [5, 0.5],
            ],
            colour: '#ff0000',
            name: 'points',
          },
          { kind: 'spread', points: [{ x: 2, mean: 0.5, sd: 0.1 }], colour: '#00ff00' },
          {
            kind: 'line',
            points: [
              [0, 0],
              [10, 1],
            ],
            colour: '#0000ff',
          },
          { kind: 'bars', points: [[3, 0.4]], colour: '#888888' },
        ],
      },
    ],
    { width: 400, height: 300 },
  );
  const circles = [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map(
    (m) => [+m[1]!, +m[2]!] as const,
  );
  const [low, high, middle] = circles;
  assert.ok(high![0] > low![0] && high![1] < low![1], 'y grows upwards');
  assert.ok(Math.abs(middle![0] - (low![0] + high![0]) / 2) < 0.02);
  assert.ok(Math.abs(middle![1] - (low![1] + high![1]) / 2) < 0.02);
  const line = /<polyline[^>]*points="([^"]*)"/.exec(svg)![1];
  assert.equal(line, `${low!.join()} ${high!.join()}`);
  assert.match(svg, /A &#38; B/);
  assert.ok(svgToPng(svg).subarray(1, 4).equals(Buffer.from('PNG')));
});
