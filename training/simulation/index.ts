export { type Bend, type BendSampling, randomBend } from './bend.js';
export * from './dataset.js';
export * from './fft.js';
export * from './in-plane.js';
export * from './recipe.js';
export * from './rigid.js';
export * from './sample.js';
export { addScalp } from './scalp.js';
export { prepareSpectrum2d, type Spectrum2d, sampleLine } from './spectrum2d.js';
