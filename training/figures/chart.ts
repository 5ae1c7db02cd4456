import { escapeXml } from './svg.js';

/** What is drawn into a chart, in data coordinates. */
export type Series =
  | {
      readonly kind: 'points';
      readonly points: readonly (readonly [number, number])[];
      readonly colour: string;
      /** Radius in pixels; default 2. */
      readonly radius?: number;
      /** 0 to 1; default 0.5. */
      readonly opacity?: number;
      readonly name?: string;
    }
  | {
      readonly kind: 'line';
      readonly points: readonly (readonly [number, number])[];
      readonly colour: string;
      readonly width?: number;
      /** As in SVG's stroke-dasharray. */
      readonly dash?: string;
      readonly name?: string;
    }
  | {
      readonly kind: 'spread';
      /** Means with a bar of one standard deviation to each side. */
      readonly points: readonly { readonly x: number; readonly mean: number; readonly sd: number }[];
      readonly colour: string;
      readonly name?: string;
    }
  | {
      readonly kind: 'bars';
      readonly points: readonly (readonly [number, number])[];
      readonly colour: string;
      /** In data units; default 0.8. */
      readonly width?: number;
      readonly name?: string;
    };

export interface Tick {
  readonly at: number;
  readonly label: string;
}

export interface Chart {
  readonly title?: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly x: readonly [number, number];
  readonly y: readonly [number, number];
  /** Default: round numbers. */
  readonly xTicks?: readonly Tick[];
  readonly yTicks?: readonly Tick[];
  readonly series: readonly Series[];
}

/** Colours that the colour-blind tell apart (Okabe and Ito 2008), in the order in which charts use them. */
export const PALETTE = ['#7f7f7f', '#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9'] as const;

export interface ChartLook {
  readonly ink: string;
  readonly grid: string;
}

export const ON_WHITE: ChartLook = { ink: '#222222', grid: '#e3e3e3' };
export const ON_BLACK: ChartLook = { ink: '#d0d0d0', grid: '#33373b' };

/** About five round numbers that span a range. */
export function roundTicks(low: number, high: number, wanted = 5): Tick[] {
  const span = high - low;
  if (!(span > 0)) return [{ at: low, label: String(low) }];
  const rough = span / wanted;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((size) => size * magnitude).find((size) => size >= rough * 0.99)!;
  const digits = Math.max(
    0,
    -Math.floor(Math.log10(step)) + (Math.abs(step / magnitude - 2.5) < 1e-9 ? 1 : 0),
  );
  const ticks: Tick[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * span; i++) {
    ticks.push({ at: i * step, label: (i * step).toFixed(digits).replace(/^-(0(\.0*)?)$/, '$1') });
  }
  return ticks;
}

const number = (value: number): string => value.toFixed(2).replace(/\.?0+$/, '');

/** A chart as the inside of an SVG element of the size given, with its axes and legend. */
export function drawChartBody(
  chart: Chart,
  width: number,
  height: number,
  look: ChartLook = ON_WHITE,
): string {
  const small = width < 300;
  const font = small ? 10 : 12;
  const named = chart.series.filter((series) => series.name !== undefined);
  const left = small ? 42 : 58;
  const right = 12;
  const top = (chart.title === undefined ? 8 : 28) + (named.length > 0 ? 18 : 0);
  const bottom = small ? 34 : 44;
  const [x0, x1] = chart.x;
  const [y0, y1] = chart.y;
  const across = (x: number): number => left + ((x - x0) / (x1 - x0 || 1)) * (width - left - right);
  const down = (y: number): number => height - bottom - ((y - y0) / (y1 - y0 || 1)) * (height - top - bottom);
  const parts: string[] = [];
  const text = (x: number, y: number, body: string, extra = '', size = font): void => {
    parts.push(
      `<text x="${number(x)}" y="${number(y)}" font-family="DejaVu Sans" font-size="${size}" fill="${look.ink}" ${extra}>${escapeXml(body)}</text>`,
    );
  };
  for (const tick of chart.yTicks ?? roundTicks(y0, y1, small ? 3 : 5)) {
    const y = number(down(tick.at));
    parts.push(`<line x1="${left}" x2="${width - right}" y1="${y}" y2="${y}" stroke="${look.grid}"/>`);
    text(left - 5, down(tick.at) + font * 0.35, tick.label, 'text-anchor="end"');
  }
  for (const tick of chart.xTicks ?? roundTicks(x0, x1, small ? 3 : 6)) {
    const x = number(across(tick.at));
    parts.push(`<line x1="${x}" x2="${x}" y1="${top}" y2="${height - bottom}" stroke="${look.grid}"/>`);
    tick.label.split('\n').forEach((line, i) => {
      text(across(tick.at), height - bottom + font * 1.25 * (i + 1), line, 'text-anchor="middle"');
    });
  }
  const clip = `x="${left}" y="${top}" width="${width - left - right}" height="${height - top - bottom}"`;
  parts.push(`<svg ${clip} viewBox="${left} ${top} ${width - left - right} ${height - top - bottom}">`);
  for (const series of chart.series) parts.push(drawSeries(series, across, down));
  parts.push('</svg>');
  parts.push(`<rect ${clip} fill="none" stroke="${look.ink}" stroke-opacity="0.6"/>`);
  if (chart.title !== undefined) text(left, 18, chart.title, 'font-weight="bold"', font + 1);
  let at = left;
  for (const series of named) {
    const y = top - 10;
    parts.push(`<rect x="${number(at)}" y="${y - 7}" width="9" height="9" fill="${series.colour}"/>`);
    text(at + 13, y + 1, series.name!, '', font - 1);
    at += 13 + series.name!.length * (font - 1) * 0.62 + 14;
  }
  text((left + width - right) / 2, height - 6, chart.xLabel, 'text-anchor="middle"');
  text(
    0,
    0,
    chart.yLabel,
    `text-anchor="middle" transform="translate(${font + 1} ${number((top + height - bottom) / 2)}) rotate(-90)"`,
  );
  return parts.join('');
}

function drawSeries(series: Series, across: (x: number) => number, down: (y: number) => number): string {
  switch (series.kind) {
    case 'points':
      return `<g fill="${series.colour}" fill-opacity="${series.opacity ?? 0.5}">${series.points
        .map(
          ([x, y]) => `<circle cx="${number(across(x))}" cy="${number(down(y))}" r="${series.radius ?? 2}"/>`,
        )
        .join('')}</g>`;
    case 'line':
      return `<polyline fill="none" stroke="${series.colour}" stroke-width="${series.width ?? 2}" ${
        series.dash === undefined ? '' : `stroke-dasharray="${series.dash}" `
      }points="${series.points.map(([x, y]) => `${number(across(x))},${number(down(y))}`).join(' ')}"/>`;
    case 'spread':
      return series.points
        .map(({ x, mean, sd }) => {
          const at = number(across(x));
          const bar =
            sd > 0
              ? `<line x1="${at}" x2="${at}" y1="${number(down(mean - sd))}" y2="${number(down(mean + sd))}" stroke="${series.colour}" stroke-width="2" stroke-opacity="0.55"/>`
              : '';
          return `${bar}<circle cx="${at}" cy="${number(down(mean))}" r="4.5" fill="${series.colour}"/>`;
        })
        .join('');
    case 'bars': {
      const half = (series.width ?? 0.8) / 2;
      return `<g fill="${series.colour}" fill-opacity="0.75">${series.points
        .map(([x, y]) => {
          const y0 = Math.min(down(0), down(y));
          return `<rect x="${number(across(x - half))}" y="${number(y0)}" width="${number(across(x + half) - across(x - half))}" height="${number(Math.abs(down(0) - down(y)))}"/>`;
        })
        .join('')}</g>`;
    }
  }
}

/** Charts side by side, so many a row, as one SVG document. */
export function drawCharts(
  charts: readonly Chart[],
  options: {
    readonly title?: string;
    readonly perRow?: number;
    readonly width?: number;
    readonly height?: number;
  } = {},
): string {
  const width = options.width ?? 460;
  const height = options.height ?? 340;
  const perRow = Math.min(options.perRow ?? 2, charts.length);
  const head = options.title === undefined ? 8 : 40;
  const total = {
    width: 16 + perRow * (width + 12),
    height: head + Math.ceil(charts.length / Math.max(1, perRow)) * (height + 12) + 8,
  };
  const body = charts.map((chart, i) => {
    const x = 16 + (i % perRow) * (width + 12);
    const y = head + Math.floor(i / perRow) * (height + 12);
    return `<g transform="translate(${x} ${y})">${drawChartBody(chart, width, height)}</g>`;
  });
  const title =
    options.title === undefined
      ? ''
      : `<text x="16" y="26" font-family="DejaVu Sans" font-size="16" font-weight="bold" fill="${ON_WHITE.ink}">${escapeXml(options.title)}</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${total.width}" height="${total.height}" viewBox="0 0 ${total.width} ${total.height}"><rect width="100%" height="100%" fill="#ffffff"/>${title}${body.join('')}</svg>\n`;
}
