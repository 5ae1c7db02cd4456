/** What data and networks out of the ordinary do to the page, in Chromium, on real series. */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Page } from 'playwright-core';
import { openUsers } from '../../src/access/index.js';
import { checkAccessibility, openPage, settled, shownSlice, startBrowser } from '../peers/support/browser.js';
import { sharedSeries } from '../peers/support/data.js';
import { modelsFolder, startMcnet } from '../peers/support/mcnet.js';
import { needPrograms, runProgram, temporaryFolder } from '../peers/support/process.js';

async function start(t: TestContext, rules: string, access?: string, more = '') {
  const folder = temporaryFolder(t, 'page-odd');
  const models = await modelsFolder(folder);
  if (access) await openUsers(join(folder, 'users.json')).add('maria', 'technologist', access);
  const server = await startMcnet(
    t,
    folder,
    `models: ${models}\nengine: cpu\npage: { patient: full }\nrules:\n${rules}\n${access ? `access: { users: ${join(folder, 'users.json')} }\n` : ''}${more}`,
  );
  const send = async (paths: readonly string[]) => {
    const to = ['-aec', 'MCNET', '+sd', '+r', '127.0.0.1', String(server.dicomPort)];
    const { code, stderr } = await runProgram('dcmsend', [...to, ...paths]);
    assert.equal(code, 0, stderr);
  };
  return { server, browser: await startBrowser(t), folder, send };
}

const ALL = '  - { name: all, when: { Modality: MR }, model: tiny, to: [], complete: { quiet: 1s } }';

async function addressOf(page: Page): Promise<string> {
  await page.waitForSelector('tbody a.open');
  return (await page.locator('tbody a.open').first().getAttribute('href'))!;
}

test('an enhanced object says by what it was made', async (t) => {
  if (!needPrograms(t, 'chromium', 'dcmsend')) return;
  const files = sharedSeries(t, 'a07');
  if (!files) return;
  const { server, browser, send } = await start(t, ALL);
  await send(files);
  const { page } = await openPage(browser, `${server.url}/`);
  await page.waitForSelector('tbody tr:has-text("1 of 1 corrected")');
  await page.click('a.open');
  await page.waitForSelector('aside dd:has-text("weights sha256")');
  const derivation = await page.locator('dt:has-text("Derivation") + dd').innerText();
  assert.match(
    derivation,
    /^Motion artifact correction.* by MC-Net, model tiny .*, configuration [0-9a-f]{16}/,
  );
});

test('long words and other scripts leave every column in sight, and a date as it is', async (t) => {
  if (!needPrograms(t, 'chromium', 'dcmsend', 'dcmodify')) return;
  const files = sharedSeries(t, 'a12');
  if (!files) return;
  const { server, browser, folder, send } = await start(t, ALL);
  const copy = join(folder, 'one.dcm');
  copyFileSync(files[0]!, copy);
  const texts = {
    SpecificCharacterSet: 'ISO_IR 192',
    PatientName: `${'Wolfeschlegelsteinhausenberger'.repeat(2)}^Hubert`,
    PatientID: 'ABCDEFGHIJ'.repeat(6),
    SeriesDescription: 'Supercalifragilisticexpialidocious'.repeat(2).slice(0, 64),
    StudyDescription: 'رأس',
    StudyDate: '20220407',
  };
  const changes = Object.entries(texts).flatMap(([keyword, value]) => ['-i', `${keyword}=${value}`]);
  const { code, stderr } = await runProgram('dcmodify', ['-nb', ...changes, copy]);
  assert.equal(code, 0, stderr);
  await send([copy]);
  const { page } = await openPage(browser, `${server.url}/`);
  await page.waitForSelector('tbody tr:has-text("1 of 1 corrected")');
  const review = (await page.locator('th:has-text("Review")').boundingBox())!;
  assert.ok(review.x + review.width <= 1280, `Review ends at ${review.x + review.width}`);
  // Beside Arabic letters a date would be drawn from its day to its year.
  const date = page.locator('tbody bdi:text-is("2022-04-07")');
  assert.equal(await date.count(), 1);
  await page.click('a.open');
  await page.waitForSelector('.pane.first .canvas[data-shown]');
  const back = (await page.locator('.series-head .back').boundingBox())!;
  assert.equal(back.width, back.height);
});

test('a picture that does not come leaves its pane empty, and is tried again', async (t) => {
  if (!needPrograms(t, 'chromium', 'dcmsend')) return;
  const files = sharedSeries(t, 'a12');
  if (!files) return;
  const { server, browser, send } = await start(
    t,
    '  - { name: none, when: { Modality: MR }, model: tiny, to: [], safeguards: { skipBelow: 1, maxResidual: 1, domain: off }, complete: { quiet: 1s } }',
  );
  await send(files);
  const { page } = await openPage(browser, `${server.url}/`);
  await page.waitForSelector('tbody tr:has-text("20 of 20 corrected")');
  let lost = false;
  let frames = 0;
  await page.route('**/dicom-web/**', (route) => {
    frames += 1;
    return lost || frames > 2 ? route.abort() : route.continue();
  });
  await page.route('**/api/**', (route) => (lost ? route.abort() : route.continue()));
  let refused = 0;
  await page.route('**/slices', (route) => {
    refused += 1;
    return refused > 1 ? route.fallback() : route.fulfill({ status: 503, json: { error: 'busy' } });
  });
  await page.click('a.open');
  await page.waitForSelector('[role=alert]:has-text("The list of slices could not be read: busy")');
  await page.waitForSelector('.pane.first .canvas[data-shown]');
  await settled(page);
  assert.equal(await page.locator('.pane.second .title').innerText(), 'Corrected\nas the original');
  lost = true;
  await page.keyboard.press('Home');
  for (const pane of ['first', 'second']) {
    const said = page.locator(`.pane.${pane} .failure:visible`);
    await said.waitFor();
    assert.equal(await page.locator(`.pane.${pane} .canvas:visible`).count(), 0);
  }
  await checkAccessibility(page, 'without a picture');
  await page.keyboard.press('a');
  await page.click('dialog[open] button[type=submit]');
  await page.waitForSelector('dialog[open] [role=alert]:has-text("The server does not answer. Try again")');
  // What is typed now is nothing of the page's below.
  await page.keyboard.press('x');
  assert.equal(await page.locator('#decision-title').innerText(), 'Accept the correction');
  await page.keyboard.press('Escape');
  await page.waitForSelector('dialog[open]', { state: 'detached' });
  await settled(page);
  await page.keyboard.press('a');
  await page.waitForSelector('dialog[open] textarea');
  assert.equal(await page.locator('dialog[open] [role=alert]').count(), 0);
  await page.keyboard.press('Escape');
  lost = false;
  frames = Number.NEGATIVE_INFINITY;
  await page.locator('.panes').focus();
  await page.keyboard.press('End');
  await page.waitForSelector('.pane.first .canvas[data-shown]');
  await page.keyboard.press('Home');
  await page.waitForSelector('.pane.second .canvas[data-shown]');
  await shownSlice(page, 1, 20);
  assert.equal(await page.locator('.failure:visible').count(), 0);
});

test('a series that the list does not reach any more opens by its address; one that is gone leads back', async (t) => {
  if (!needPrograms(t, 'chromium', 'dcmsend')) return;
  const files = sharedSeries(t, 'a12');
  if (!files) return;
  const { server, browser, send } = await start(t, ALL);
  await send(files.slice(0, 1));
  const { page } = await openPage(browser, `${server.url}/`);
  const address = await addressOf(page);
  const other = await page.context().newPage();
  await other.route('**/api/series?*', async (route) => {
    await new Promise((done) => setTimeout(done, 500));
    await route.fulfill({ json: { series: [] } });
  });
  const listed = other.waitForResponse(/api\/series\?.*state=/);
  await other.goto(`${server.url}/${address}`);
  await (await listed).finished();
  await settled(other).catch(() => undefined);
  await other.waitForSelector('.pane.first .canvas[data-shown]');
  await other.goto(`${server.url}/#/series/1.2.3`);
  await other.click('[role=alert]:has-text("no series 1.2.3 is known here") a');
  await other.waitForSelector('h1:has-text("Worklist")');
});

test('a link to a series leads there after the login', async (t) => {
  if (!needPrograms(t, 'chromium')) return;
  const password = 'correct horse battery';
  const { server, browser } = await start(t, ALL, password);
  const { page } = await openPage(browser, `${server.url}/#/series/1.2.3`);
  for (const attempt of ['wrong', password]) {
    await page.fill('#name', 'maria');
    await page.fill('#password', attempt);
    await page.click('button[type=submit]');
  }
  await page.waitForSelector('[role=alert]:has-text("no series 1.2.3 is known here")');
  assert.equal(page.url(), `${server.url}/#/series/1.2.3`);
});

test('a series that retention removes leaves the worklist, and whoever looks at it is told', async (t) => {
  if (!needPrograms(t, 'chromium', 'dcmsend')) return;
  const files = sharedSeries(t, 'a12');
  if (!files) return;
  const retention = 'retention: { age: 5s, interval: 1s }\n';
  const { server, browser, send } = await start(t, ALL, undefined, retention);
  const [list, opened] = await Promise.all([1, 2].map(() => openPage(browser, `${server.url}/`)));
  await send(files.slice(0, 1));
  await opened!.page.click('a.open');
  await list!.page.waitForSelector('a.open');
  await opened!.page.waitForSelector('[role=alert]:has-text("is known here")');
  await list!.page.waitForSelector('text=No series has arrived yet');
});
