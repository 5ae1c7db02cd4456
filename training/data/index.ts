export * from './catalogue.js';
export * from './mask.js';
export * from './nifti.js';
export * from './random.js';
export * from './slices.js';
export * from './split.js';
export * from './volume.js';
