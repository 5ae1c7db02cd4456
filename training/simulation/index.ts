export * from './fft.js';
export * from './inPlane.js';
export { prepareSpectrum2d, type Spectrum2d, sampleLine } from './spectrum2d.js';
