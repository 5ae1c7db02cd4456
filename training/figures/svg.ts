import { createRequire } from 'node:module';
import { Resvg } from '@resvg/resvg-js';

const require = createRequire(import.meta.url);
const FONTS = ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf'];

/** Text made safe for an SVG text node or attribute. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Draws an SVG document as a PNG, with the font that comes along, so that every machine draws the same picture. */
export function svgToPng(svg: string, scale = 1): Buffer {
  const drawing = new Resvg(svg, {
    fitTo: { mode: 'zoom', value: scale },
    font: {
      fontFiles: FONTS.map((name) => require.resolve(`dejavu-fonts-ttf/ttf/${name}`)),
      loadSystemFonts: false,
      defaultFontFamily: 'DejaVu Sans',
    },
  });
  return drawing.render().asPng();
}
