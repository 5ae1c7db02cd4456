export { openApiDocument, templateOf } from './document.js';
export { OPERATIONS } from './operations.js';
