export * from './generate.js';
export * from './inPlane.js';
export * from './read.js';
export * from './trace.js';
