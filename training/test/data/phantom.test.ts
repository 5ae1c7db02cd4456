import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkHead, coverageOf, headMask, maskArea, renderPhantom, sampleSlice } from '../../data/index.js';

const small = { slices: 24, rows: 64, columns: 64, spacing: [6, 3.9, 3.9] as const };

test('the synthetic head is a function of its seed', () => {
  const a = renderPhantom({ seed: 5, ...small });
  const b = renderPhantom({ seed: 5, ...small });
  const c = renderPhantom({ seed: 6, ...small });
  assert.deepEqual(a.data, b.data);
  assert.notDeepEqual(a.data, c.data);
  assert.ok(a.data.every((value) => Number.isFinite(value) && value >= 0));
});

test('it is a head in air, and brain-only on zero', () => {
  const head = renderPhantom({ seed: 5, ...small });
  checkHead(head, 'phantom');
  assert.equal(coverageOf(head), 'head');
  const brain = renderPhantom({ seed: 5, ...small, brainOnly: true });
  checkHead(brain, 'phantom');
  assert.equal(coverageOf(brain), 'brain');
  const geometry = { plane: 'sagittal', rows: 64, columns: 64, spacing: [3.9, 3.9], thickness: 4 } as const;
  const area = (volume: typeof head): number =>
    maskArea(headMask(sampleSlice(volume, geometry, 20).pixels, 64, 64, { dilation: 0 })) * 3.9 * 3.9;
  // mm² of a parasagittal slice: a brain of about 150 x 110 mm, a head with face and neck
  assert.ok(area(brain) > 7000 && area(brain) < 16000, `brain ${area(brain)}`);
  assert.ok(area(head) > 1.3 * area(brain), `head ${area(head)}`);
});

test('contrast is that of MP-RAGE: white matter brightest in the brain, then grey matter, then fluid', () => {
  const volume = renderPhantom({
    seed: 2,
    slices: 40,
    rows: 128,
    columns: 128,
    spacing: [3, 1.95, 1.95],
    noise: 0,
  });
  const geometry = { plane: 'axial', rows: 1, columns: 1, spacing: [2, 2], thickness: 2 } as const;
  const at = (x: number, y: number, z: number): number =>
    sampleSlice(volume, { ...geometry, centre: [x, y, z] }, 0).pixels[0]!;
  const white = at(26, -25, 26);
  const thalamus = at(11, -12, 6);
  assert.ok(white > thalamus && thalamus > 400, `white ${white}, thalamus ${thalamus}`);
  let air = 0;
  for (let x = -60; x <= 60; x += 20) air = Math.max(air, at(x, 118, 60));
  assert.ok(air < 20, `air ${air}`);
});
