/** The page in Chromium, on a real series: the worklist and an opened series, live in two windows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seriesList, statusView } from '../../src/web/openapi/schemas.js';
import { canvasOf, checkAccessibility, openPage, startBrowser } from '../peers/support/browser.js';
import { sharedSeries } from '../peers/support/data.js';
import { modelsFolder, startMcnet } from '../peers/support/mcnet.js';
import { eventually, needPrograms, runProgram, temporaryFolder } from '../peers/support/process.js';
import { startStorescp } from '../peers/support/storescp.js';

test('two windows follow a series from the first slice to the review that lets it go', async (t) => {
  if (!needPrograms(t, 'chromium', 'dcmsend', 'storescp')) return;
  const files = sharedSeries(t, 'a12');
  if (!files) return;
  const folder = temporaryFolder(t, 'page');
  const [pacs, models, browser] = await Promise.all([
    startStorescp(t),
    modelsFolder(folder),
    startBrowser(t),
  ]);
  const server = await startMcnet(
    t,
    folder,
    `models: ${models}
engine: cpu
page: { patient: full }
destinations:
  pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${pacs.port} } }
rules:
  - { name: held, when: { Modality: MR }, model: tiny, to: [pacs], hold: until accepted, complete: { quiet: 1s } }
`,
  );
  const send = async (paths: readonly string[]) => {
    const { code, stderr } = await runProgram('dcmsend', [
      '-aec',
      'MCNET',
      '127.0.0.1',
      String(server.dicomPort),
      ...paths,
    ]);
    assert.equal(code, 0, stderr);
  };
  const one = await openPage(browser, `${server.url}/`);
  const two = await openPage(browser, `${server.url}/`, { scheme: 'light' });
  for (const { page } of [one, two]) await page.waitForSelector('text=No series has arrived yet');

  await send(files.slice(0, 6));
  for (const { page } of [one, two]) {
    await page.waitForSelector('tbody tr:has-text("6 of 6 corrected")');
    assert.equal(await page.locator('tbody a.open').count(), 1);
  }
  // The worklist by keyboard, and the series in the second window while more of it comes.
  await one.page.keyboard.press('j');
  await one.page.keyboard.press('Enter');
  await one.page.waitForSelector('.pane.first .canvas[data-shown]');
  await send(files.slice(6));
  await one.page.waitForSelector('.corner.place:has-text("/ 20")');
  await one.page.waitForSelector('.badge.held');
  await two.page.waitForSelector('tbody tr:has-text("20 of 20 corrected")');
  await two.page.waitForSelector(
    'tbody[aria-label="Needs a look"] tr:has-text("waits for somebody to accept")',
  );
  await two.page.waitForSelector('tbody .badge:has-text("Held")');
  assert.equal(pacs.files().length, 0);
  await checkAccessibility(two.page, 'the worklist, light');

  for (const pane of ['first', 'second'] as const) {
    const { lit } = await canvasOf(one.page, pane);
    assert.ok(lit > 10_000, `${pane}: ${lit} pixels are lit`);
  }
  await checkAccessibility(one.page, 'the series, dark');
  await one.page.keyboard.press('a');
  await one.page.fill('dialog[open] textarea', 'sharp <b>enough</b>');
  await one.page.click('dialog[open] button[type=submit]');
  await one.page.waitForSelector('.comment:has-text("sharp <b>enough</b>")');
  await two.page.waitForSelector('tbody .badge:has-text("Accepted")');
  await two.page.waitForSelector('tbody[aria-label="Nothing to do"] .badge:has-text("Delivered")');
  await one.page.waitForSelector('.series-head .badge:has-text("Delivered")');
  await eventually('all slices are at the destination', () => pacs.files().length === 20 || undefined);
  const { reviews } = (await (
    await fetch(`${server.url}/api/series/${one.page.url().split('/').at(-1)}/reviews`)
  ).json()) as { reviews: object[] };
  assert.equal(reviews.length, 1);
  // What the real server answers is what its description says, to the last key.
  statusView.parse(await (await fetch(`${server.url}/api/status`)).json());
  seriesList.parse(await (await fetch(`${server.url}/api/series`)).json());
  assert.doesNotMatch(server.output(), /enough/);
  assert.deepEqual([...one.complaints, ...two.complaints], []);
});
