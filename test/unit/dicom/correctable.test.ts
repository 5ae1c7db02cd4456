import assert from 'node:assert/strict';
import { test } from 'node:test';
import { correctable, parseDataSet } from '../../../src/dicom/index.js';
import { ENHANCED_MR, encodeDataSet, encodeElement, explicitLE, type Item, MR, mrImage } from './encode.js';

function verdict(extra: Item, sopClass = MR): string {
  const ds = parseDataSet(encodeDataSet(explicitLE, mrImage({ extra })), explicitLE.uid, {
    untilPixelData: true,
  });
  const result = correctable(ds, sopClass);
  return result.ok ? 'ok' : result.reason;
}

const type = (value: string): Item => [[0x00080008, 'CS', value]];

for (const value of [
  'ORIGINAL\\PRIMARY\\M_FFE\\M\\FFE',
  'ORIGINAL\\PRIMARY\\M\\NORM\\DIS2D',
  'ORIGINAL\\PRIMARY\\OTHER',
  'ORIGINAL\\PRIMARY\\MPR',
  'ORIGINAL\\PRIMARY\\M\\UCA\\IF',
  'ORIGINAL\\PRIMARY\\M_SE\\M\\SE',
  '',
]) {
  test(`Image Type "${value}" may be corrected`, () => assert.equal(verdict(type(value)), 'ok'));
}

const refused: [string, RegExp][] = [
  ['ORIGINAL\\PRIMARY\\LOCALIZER', /^localizer/],
  ['ORIGINAL\\PRIMARY\\P\\ND', /^phase/],
  ['ORIGINAL\\PRIMARY\\PHASE MAP\\P\\FFE', /^phase/],
  ['ORIGINAL\\PRIMARY\\R_IR\\R\\IR', /^real part/],
  ['ORIGINAL\\PRIMARY\\I_FFE\\I\\FFE', /^imaginary part/],
  ['ORIGINAL\\PRIMARY\\M\\ND\\MOSAIC', /^mosaic/],
  ['DERIVED\\PRIMARY\\DIFFUSION\\ADC\\ND', /^diffusion map/],
  ['ORIGINAL\\PRIMARY\\T1 MAP\\ND', /^parametric map/],
  ['DERIVED\\PRIMARY\\MPR\\NORM', /^derived image/],
  ['ORIGINAL\\SECONDARY\\M', /^secondary image/],
  ['DERIVED\\SECONDARY', /^derived image/],
  ['DERIVED\\PRIMARY\\PROJECTION IMAGE', /^reformatted/],
];
for (const [value, reason] of refused) {
  test(`Image Type "${value}" is left alone`, () => assert.match(verdict(type(value)), reason));
}

test('localizers by name only', () => {
  for (const name of [
    'AAHead_Scout_64ch',
    'localizer',
    '3-Plane Loc',
    'Survey',
    'SmartBrain',
    '3Plane_Localizer',
    'LOC',
  ]) {
    assert.match(verdict([[0x0008103e, 'LO', name]]), /^localizer by its SeriesDescription/, name);
  }
  for (const name of ['T1 mprage localized', 'block design', 'velocity', 'T1_sag_p2', 'pilot study T1']) {
    assert.equal(verdict([[0x0008103e, 'LO', name]]), 'ok', name);
  }
});

test('other classes, modalities, color and depths', () => {
  assert.match(verdict([], '1.2.840.10008.5.1.4.1.1.4.2'), /MR Spectroscopy/);
  assert.match(verdict([], '1.2.840.10008.5.1.4.1.1.2'), /CT Image/);
  assert.match(verdict([], '1.2.3'), /SOP class 1\.2\.3/);
  assert.match(verdict([[0x00080060, 'CS', 'PT']]), /Modality is PT/);
  assert.match(
    verdict([
      [0x00280002, 'US', 3],
      [0x00280004, 'CS', 'RGB'],
    ]),
    /not monochrome/,
  );
  assert.match(verdict([[0x00280100, 'US', 32]]), /32 bits allocated/);
  assert.match(verdict([[0x00280301, 'CS', 'YES']]), /burned/);
  assert.match(verdict([[0x00089208, 'CS', 'PHASE']]), /^phase/);
});

test("GE's private image component", () => {
  const ge = (component: number): Item => [
    [0x00080008, 'CS', 'ORIGINAL\\PRIMARY\\OTHER'],
    [0x00430010, 'LO', 'GEMS_PARM_01'],
    [0x0043102f, 'SS', component],
  ];
  assert.equal(verdict(ge(0)), 'ok');
  assert.match(verdict(ge(1)), /^phase/);
  assert.match(verdict(ge(3)), /^imaginary/);
});

test('Enhanced MR is judged by its frames', () => {
  const frame = (frameType: string, component: string): Item => [
    [
      0x00189226,
      'SQ',
      [
        [
          [0x00089007, 'CS', frameType],
          [0x00089208, 'CS', component],
        ],
      ],
    ],
  ];
  const perFrame = (...frames: Item[]): Item => [
    [0x00280008, 'IS', String(frames.length)],
    [0x52009230, 'SQ', frames],
  ];
  const good = frame('ORIGINAL\\PRIMARY\\VOLUME\\NONE', 'MAGNITUDE');
  const phase = frame('ORIGINAL\\PRIMARY\\VOLUME\\NONE', 'PHASE');
  const derived = frame('DERIVED\\PRIMARY\\DIFFUSION\\ADC', 'MAGNITUDE');
  assert.equal(verdict(perFrame(good, good), ENHANCED_MR), 'ok');
  assert.match(verdict(perFrame(good, phase), ENHANCED_MR), /^1 of 2 frames: phase/);
  assert.match(verdict(perFrame(derived, derived), ENHANCED_MR), /^diffusion map/);
  assert.match(verdict([[0x52009229, 'SQ', [phase]]], ENHANCED_MR), /^phase/);
});

test('a malformed sequence is a reason, not an exception', () => {
  const broken: Item = [[0x52009230, 'SQ', encodeElement(explicitLE, 0x00280010, 'US', 1)]];
  assert.match(verdict(broken, ENHANCED_MR), /expected an item/);
});
