export * from './generate.js';
export * from './in-plane.js';
export * from './read.js';
export * from './trace.js';
