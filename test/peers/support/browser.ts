/** Chromium as a person at the console uses it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { TestContext } from 'node:test';
import { type Browser, chromium, type Page } from 'playwright-core';
import { QUIET_FLAGS } from './chromium.js';
import { atEnd, eventually, findProgram } from './process.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** WCAG 2.2 AA and what comes before it. */
const AXE_TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

export async function startBrowser(t: TestContext): Promise<Browser> {
  const executablePath = findProgram('chromium');
  assert.ok(executablePath);
  const browser = await chromium.launch({ executablePath, headless: true, args: [...QUIET_FLAGS] });
  atEnd(t, () => browser.close());
  return browser;
}

export interface Console {
  page: Page;
  /** Whatever the page complained about, and every request that left for another host. */
  complaints: string[];
  /** Every address that was asked for. */
  requests: string[];
}

/** Opens a page as on the console of a scanner; its complaints are collected. */
export async function openPage(
  browser: Browser,
  url: string,
  options: {
    width?: number;
    height?: number;
    scheme?: 'light' | 'dark';
    /** 2: as at 200 % zoom, with half the width and height. */
    zoom?: number;
  } = {},
): Promise<Console> {
  const { width = 1280, height = 800, scheme = 'dark', zoom = 1 } = options;
  const context = await browser.newContext({
    viewport: { width: width / zoom, height: height / zoom },
    deviceScaleFactor: zoom,
    colorScheme: scheme,
    acceptDownloads: true,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(90_000);
  const complaints: string[] = [];
  const requests: string[] = [];
  const { origin } = new URL(url);
  page.on('console', (message) => {
    // That a canvas is read back is the tests' own doing.
    if (/^(error|warning)$/.test(message.type()) && !message.text().startsWith('Canvas2D'))
      complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.stack ?? error.message));
  page.on('request', (request) => {
    requests.push(request.url());
    if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).origin !== origin)
      complaints.push(`asked ${request.url()}`);
  });
  await page.goto(url);
  return { page, complaints, requests };
}

/** Fails with what axe-core finds wrong with what the page shows now. */
export async function checkAccessibility(page: Page, what: string): Promise<void> {
  // The page's own policy lets no foreign script in: axe comes by the browser's debugger.
  await page.evaluate(AXE);
  const found = await page.evaluate(
    `axe.run(document, { runOnly: ${JSON.stringify(AXE_TAGS)} }).then(({ violations }) => violations.map(
      ({ id, help, nodes }) => ({ id, help, nodes: nodes.slice(0, 4).map((node) => node.html + ' ' + node.failureSummary) })))`,
  );
  assert.deepEqual(found, [], `${what}: ${JSON.stringify(found, null, 2)}`);
}

/** Waits until an expression is true in the page. (Its policy forbids what Playwright's own waiting would evaluate.) */
export async function holds(page: Page, expression: string, timeoutMs = 60_000): Promise<void> {
  await eventually(
    expression,
    async () => ((await page.evaluate(`Boolean(${expression})`)) === true ? true : undefined),
    timeoutMs,
  );
}

/** What a pane's canvas shows: a digest of its pixels, and whether anything but black is there. */
export async function canvasOf(
  page: Page,
  pane: 'first' | 'second' | 'residual',
): Promise<{ pixels: string; lit: number; colored: number }> {
  return page.evaluate(`(async () => {
    const canvas = document.querySelector('.pane.${pane} canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let lit = 0;
    let colored = 0;
    for (let i = 0; i < data.length; i += 4) {
      if (data[i] + data[i + 1] + data[i + 2] > 24) lit += 1;
      if (Math.abs(data[i] - data[i + 2]) > 8) colored += 1;
    }
    const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', data));
    return { lit, colored, pixels: [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('') };
  })()`);
}

/** Waits until the panes show a slice (from 1), drawn. */
export async function shownSlice(page: Page, slice: number, of: number): Promise<void> {
  await page.waitForSelector(`.corner.place:has-text("${slice} / ${of}")`);
  await settled(page);
}

/** Waits until the panes show what was asked for last. */
export async function settled(page: Page): Promise<void> {
  await page.waitForSelector('.panes[aria-busy=false]');
  // Cornerstone draws in the next frame.
  await page.evaluate(
    'new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done))))',
  );
  await page.waitForSelector('.panes[aria-busy=false]');
}
