export { encodePng } from './png.js';
export { drawSheet, type Panel, type Sheet } from './sheet.js';
export { escapeXml, svgToPng } from './svg.js';
