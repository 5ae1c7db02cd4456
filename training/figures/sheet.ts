import { type Chart, drawChartBody, ON_BLACK } from './chart.js';
import { encodePng } from './png.js';
import { escapeXml } from './svg.js';

/** One picture of a sheet: intensities row by row, drawn from `low` (black) to `high` (white). */
export interface Panel {
  pixels: ArrayLike<number>;
  rows: number;
  columns: number;
  low: number;
  high: number;
  /** `grey`, or `diverging`: blue below the middle of the range, red above it, for residuals. */
  scale?: 'grey' | 'diverging';
  caption?: string;
}

/** A chart in a sheet's place; `null` in a row of panels leaves its place empty. */
export interface ChartPanel {
  chart: Chart;
  caption?: string;
}

export interface Sheet {
  title: string;
  subtitle?: string;
  columns: readonly string[];
  rows: readonly { label: string; panels: readonly (Panel | ChartPanel | null)[] }[];
  /** Width of one panel in pixels (default 256). */
  panelWidth?: number;
}

function paint(panel: Panel): Buffer {
  const count = panel.rows * panel.columns;
  const range = panel.high - panel.low || 1;
  if (panel.scale !== 'diverging') {
    const grey = new Uint8Array(count);
    for (let index = 0; index < count; index += 1) {
      grey[index] = Math.max(
        0,
        Math.min(255, Math.round((255 * (panel.pixels[index]! - panel.low)) / range)),
      );
    }
    return encodePng(grey, panel.rows, panel.columns, 1);
  }
  const rgb = new Uint8Array(count * 3);
  for (let index = 0; index < count; index += 1) {
    const t = Math.max(-1, Math.min(1, (2 * (panel.pixels[index]! - panel.low)) / range - 1));
    const fade = 1 - Math.abs(t);
    rgb[3 * index] = Math.round(255 * (t > 0 ? 0.86 + 0.14 * fade : 0.13 + 0.87 * fade));
    rgb[3 * index + 1] = Math.round(255 * (0.2 + 0.8 * fade));
    rgb[3 * index + 2] = Math.round(255 * (t < 0 ? 0.75 + 0.25 * fade : 0.18 + 0.82 * fade));
  }
  return encodePng(rgb, panel.rows, panel.columns, 3);
}

const MARGIN = 16;
const GAP = 6;
const LABEL_WIDTH = 116;
const CAPTION_HEIGHT = 18;

/** A labelled grid of pictures as an SVG document (pictures embedded). */
export function drawSheet(sheet: Sheet): string {
  const width = sheet.panelWidth ?? 256;
  const heightOf = (panel: Panel | ChartPanel | null) =>
    panel === null || 'chart' in panel ? 0 : Math.round((width * panel.rows) / panel.columns);
  const parts: string[] = [];
  const text = (x: number, y: number, size: number, body: string, extra = '') =>
    parts.push(
      `<text x="${x}" y="${y}" font-family="DejaVu Sans" font-size="${size}" fill="#e8e8e8" ${extra}>${escapeXml(body)}</text>`,
    );
  let y = MARGIN + 20;
  text(MARGIN, y, 18, sheet.title, 'font-weight="bold"');
  if (sheet.subtitle) {
    y += 22;
    text(MARGIN, y, 13, sheet.subtitle, 'opacity="0.8"');
  }
  y += 28;
  const left = (column: number) => MARGIN + LABEL_WIDTH + column * (width + GAP);
  sheet.columns.forEach((name, column) => {
    text(left(column) + width / 2, y, 14, name, 'text-anchor="middle"');
  });
  y += 10;
  for (const row of sheet.rows) {
    const height = Math.max(...row.panels.map(heightOf)) || width;
    row.label.split('\n').forEach((line, index) => {
      text(MARGIN, y + 18 + index * 17, 12, line, index === 0 ? 'font-weight="bold"' : 'opacity="0.85"');
    });
    row.panels.forEach((panel, column) => {
      if (panel === null) return;
      if ('chart' in panel) {
        const body = drawChartBody(panel.chart, width, height, ON_BLACK);
        parts.push(`<g transform="translate(${left(column)} ${y})">${body}</g>`);
        if (panel.caption) text(left(column) + 5, y + height + 13, 11, panel.caption);
        return;
      }
      const image = paint(panel).toString('base64');
      parts.push(
        `<image x="${left(column)}" y="${y}" width="${width}" height="${heightOf(panel)}" preserveAspectRatio="none" href="data:image/png;base64,${image}"/>`,
      );
      if (panel.caption) text(left(column) + 5, y + height + 13, 11, panel.caption);
    });
    y += height + (row.panels.some((panel) => panel?.caption) ? CAPTION_HEIGHT : GAP);
  }
  const total = { width: left(sheet.columns.length) - GAP + MARGIN, height: y + MARGIN };
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${total.width}" height="${total.height}" viewBox="0 0 ${total.width} ${total.height}"><rect width="100%" height="100%" fill="#101214"/>${parts.join('')}</svg>\n`;
}
