export {
  type Chart,
  drawChartBody,
  drawCharts,
  ON_BLACK,
  ON_WHITE,
  PALETTE,
  roundTicks,
  type Series,
  type Tick,
} from './chart.js';
export { encodePng } from './png.js';
export { type ChartPanel, drawSheet, type Panel, type Sheet } from './sheet.js';
export { escapeXml, svgToPng } from './svg.js';
