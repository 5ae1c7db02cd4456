/** Every flow of the page in Chromium, on real series: looking, reviewing, rating. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { openUsers } from '../../src/access/index.js';
import { startDimseServer } from '../../src/dimse/index.js';
import {
  canvasOf,
  checkAccessibility,
  holds,
  openPage,
  settled,
  shownSlice,
  startBrowser,
} from '../peers/support/browser.js';
import { sharedSeries } from '../peers/support/data.js';
import { type McnetServer, modelsFolder, startMcnet } from '../peers/support/mcnet.js';
import { atEnd, eventually, needPrograms, runProgram, temporaryFolder } from '../peers/support/process.js';
import { startStorescp } from '../peers/support/storescp.js';

const PASSWORD = 'correct horse battery';

async function send(server: McnetServer, paths: readonly string[]): Promise<void> {
  const to = ['-aec', 'MCNET', '+sd', '+r', '127.0.0.1', String(server.dicomPort)];
  const { code, stderr } = await runProgram('dcmsend', [...to, ...paths]);
  assert.equal(code, 0, stderr);
}

interface Setting {
  server: McnetServer;
  browser: Browser;
  pacs: Awaited<ReturnType<typeof startStorescp>>;
  folder: string;
}

async function start(t: TestContext, rules: string, patient = 'full'): Promise<Setting> {
  const folder = temporaryFolder(t, 'page');
  const pacs = await startStorescp(t);
  const models = await modelsFolder(folder);
  const server = await startMcnet(
    t,
    folder,
    `models: ${models}
engine: cpu
page: { patient: ${patient} }
destinations:
  pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${pacs.port} } }
rules:
${rules}`,
  );
  return { server, browser: await startBrowser(t), pacs, folder };
}

async function openSeries(page: Page, title: string, slices: number): Promise<void> {
  await page.waitForSelector(`tbody tr:has-text("${slices} of ${slices} corrected")`);
  await page.click(`a.open:has-text("${title}")`);
  await page.waitForSelector('.pane.first .canvas[data-shown]');
  await page.waitForSelector('.pane.second .canvas[data-shown]');
  await settled(page);
}

/** Where the middle of a pane is. */
async function middleOf(page: Page, pane: string): Promise<{ x: number; y: number }> {
  const box = (await page.locator(`.pane.${pane}`).boundingBox())!;
  return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
}

async function drag(page: Page, button: 'left' | 'middle' | 'right', dx: number, dy: number): Promise<void> {
  const { x, y } = await middleOf(page, 'first');
  await page.mouse.move(x, y);
  await page.mouse.down({ button });
  await page.mouse.move(x + dx, y + dy, { steps: 4 });
  await page.mouse.up({ button });
  await settled(page);
}

/** Both panes show the same: their slices are the same here, and so must zoom, pan and window be. */
async function linked(page: Page, what: string): Promise<string> {
  await settled(page);
  const [first, second] = [await canvasOf(page, 'first'), await canvasOf(page, 'second')];
  assert.equal(first.pixels, second.pixels, what);
  return first.pixels;
}

test('a series is looked at from all sides, by keyboard and mouse', async (t) => {
  if (!needPrograms(t, 'chromium', 'dcmsend', 'storescp')) return;
  const files = sharedSeries(t, 'a12');
  if (!files) return;
  // Nothing is changed about these slices: what differs between the panes is the page's fault.
  const { server, browser } = await start(
    t,
    `  - name: as it was
    when: { Modality: MR }
    model: tiny
    to: [pacs]
    safeguards: { skipBelow: 1, maxResidual: 1, domain: off }
    complete: { quiet: 1s }
`,
  );
  await send(server, files);
  const { page, complaints } = await openPage(browser, `${server.url}/`);
  await openSeries(page, 'FSE PD AXIAL OBL', 20);
  await shownSlice(page, 11, 20);
  const before = await linked(page, 'at first');

  await t.test('slices', async () => {
    for (const [key, slice] of [
      ['ArrowDown', 12],
      ['ArrowUp', 11],
      ['PageDown', 20],
      ['PageUp', 10],
      ['Home', 1],
      ['End', 20],
    ] as const) {
      await page.keyboard.press(key);
      await shownSlice(page, slice, 20);
    }
    const { x, y } = await middleOf(page, 'second');
    await page.mouse.move(x, y);
    await page.mouse.wheel(0, -120);
    await shownSlice(page, 17, 20);
    const strip = (await page.locator('.chart[data-measure=severity]').boundingBox())!;
    await page.mouse.click(strip.x + strip.width * 0.13, strip.y + strip.height / 2);
    await shownSlice(page, 3, 20);
    await page.focus('input[type=range]');
    await page.keyboard.press('ArrowRight');
    await shownSlice(page, 4, 20);
    await linked(page, 'after scrolling');
    await page.locator('.panes').focus();
    await page.keyboard.press(' ');
    await page.waitForSelector('.cine button:has-text("Stop")');
    await holds(page, `!document.querySelector('.corner.place').textContent.startsWith('4 /')`);
    await page.keyboard.press(' ');
    await page.waitForSelector('.cine button:has-text("Play")');
  });

  await t.test('zoom, pan and window are linked', async () => {
    await page.keyboard.press('Home');
    for (let i = 0; i < 10; i += 1) await page.keyboard.press('ArrowDown');
    await shownSlice(page, 11, 20);
    assert.equal(await linked(page, 'back'), before);
    const seen = new Set([before]);
    const changes: [string, () => Promise<unknown>][] = [
      ['zoom in', () => page.keyboard.press('+')],
      ['pan right', () => page.keyboard.press('Shift+ArrowRight')],
      ['narrower', () => page.keyboard.press('[')],
      ['darker', () => page.keyboard.press('.')],
      ['window by mouse', () => drag(page, 'left', 60, 0)],
      ['pan by mouse', () => drag(page, 'middle', 30, 20)],
      ['zoom by mouse', () => drag(page, 'right', 0, -30)],
      ['pan by the tool', () => page.keyboard.press('p').then(() => drag(page, 'left', -40, -10))],
    ];
    for (const [what, change] of changes) {
      await change();
      const now = await linked(page, what);
      assert.ok(!seen.has(now), `${what} changes nothing`);
      seen.add(now);
    }
    await page.keyboard.press('0');
    assert.equal(await linked(page, 'reset'), before);
  });

  await t.test('the residual map has a scale; of nothing it is black', async () => {
    await page.keyboard.press('3');
    await page.waitForSelector('.pane.residual .canvas[data-shown]');
    await settled(page);
    assert.deepEqual((await canvasOf(page, 'residual')).lit, 0);
    const scale = () => page.locator('.legend').innerText();
    const quarter = await scale();
    await page.selectOption('.scale-choice select', '0.05');
    assert.notEqual(await scale(), quarter);
    await checkAccessibility(page, 'with residual map');
    await page.keyboard.press('3');
  });

  await t.test('swipe', async () => {
    await page.keyboard.press('2');
    await page.waitForSelector('.swipe-stack .pane.second .canvas[data-shown]');
    const clip = () => page.evaluate(`document.querySelector('.pane.second').style.clipPath`);
    assert.match(String(await clip()), /50%/);
    const { x, y } = await middleOf(page, 'first');
    await page.mouse.move(x, y);
    await page.mouse.down();
    await page.mouse.move(x + 100, y, { steps: 3 });
    await page.mouse.up();
    const dragged = String(await clip());
    assert.doesNotMatch(dragged, /50%/);
    await page.keyboard.press('ArrowLeft');
    assert.notEqual(await clip(), dragged);
    await checkAccessibility(page, 'swipe');
    await page.keyboard.press('1');
  });

  await t.test('help, and no single keys for those who do not want them', async () => {
    await page.keyboard.press('?');
    await page.waitForSelector('dialog[open]:has-text("next flagged slice")');
    await checkAccessibility(page, 'help');
    await page.click('dialog input[type=checkbox]');
    await page.keyboard.press('Escape');
    await page.waitForSelector('dialog.help', { state: 'detached' });
    await page.keyboard.press('3');
    await page.keyboard.press('ArrowDown');
    await shownSlice(page, 12, 20);
    assert.equal(await page.locator('.pane.residual').count(), 0);
    await page.keyboard.press('?');
    await page.click('dialog input[type=checkbox]');
    await page.click('dialog button:has-text("Close")');
  });

  await t.test('what it was made by', async () => {
    const facts = await page.locator('aside').innerText();
    assert.match(facts, /tiny /);
    assert.match(facts, /correction not applied by MC-Net, model tiny/);
    assert.match(facts, /weights sha256 [0-9a-f]{16}, configuration [0-9a-f]{16}/);
    assert.match(facts, /not corrected, estimated severity of motion/);
  });

  await t.test('a console of 1280 × 800, at 100 % and 200 %, light and dark', async () => {
    const room = () =>
      page.evaluate(
        '[document.documentElement.scrollWidth - innerWidth, document.documentElement.scrollHeight - innerHeight]',
      );
    assert.deepEqual(await room(), [0, 0]);
    for (const scheme of ['light', 'dark'] as const) {
      const large = await openPage(browser, `${server.url}/`, { scheme, zoom: 2 });
      const wider = () => large.page.evaluate('document.documentElement.scrollWidth - innerWidth');
      await large.page.waitForSelector('a.open');
      assert.equal(await wider(), 0, 'the worklist at 200 %');
      await checkAccessibility(large.page, `the worklist, ${scheme}, 200 %`);
      await openSeries(large.page, 'FSE PD AXIAL OBL', 20);
      assert.equal(await wider(), 0, 'the series at 200 %');
      await linked(large.page, '200 %');
      assert.ok((await canvasOf(large.page, 'first')).lit > 10_000);
      await large.page.click('button.accept');
      await large.page.waitForSelector('dialog[open] textarea');
      await checkAccessibility(large.page, `deciding, ${scheme}, 200 %`);
      complaints.push(...large.complaints);
    }
  });
  assert.deepEqual(complaints, []);
});

test('flagged slices are shown, passed through and counted; a rejected series stays, until it is accepted', async (t) => {
  if (!needPrograms(t, 'chromium', 'dcmsend', 'storescp', 'dcmdump')) return;
  const files = sharedSeries(t, 'a05');
  if (!files) return;
  const { server, browser, pacs } = await start(
    t,
    `  - name: everything is odd
    when: { Modality: MR }
    model: tiny
    to: [pacs]
    hold: until accepted
    safeguards: { maxResidual: 0, domain: off, onFlag: pass through }
    complete: { quiet: 1s }
`,
    'masked',
  );
  await send(server, files);
  const { page, complaints } = await openPage(browser, `${server.url}/`);
  await page.waitForSelector('.chip.flag:has-text("24 flagged")');
  assert.match(await page.locator('tbody .patient').innerText(), /^Patient [0-9A-F]{6}$/);
  await page.click('a.open');
  await page.waitForSelector('.pane.second .canvas[data-shown]');
  await linked(page, 'passed through');
  await page.keyboard.press('n');
  await page.waitForSelector('.card.flags:has-text("% of the energy, more than 0 %")');
  await page.keyboard.press('x');
  await page.fill('dialog[open] textarea', 'blurred');
  await page.click('dialog[open] button[type=submit]');
  await page.waitForSelector('.series-head .badge:has-text("Rejected")');
  await page.waitForSelector('aside:has-text("rejected: it is not delivered")');
  assert.equal(await page.locator('.badge.held').count(), 0);
  assert.match(
    await page.locator('aside .destinations').innerText(),
    /^– pacs.*0 delivered · no more: rejected$/s,
  );
  assert.equal(pacs.files().length, 0);
  // The decision outlives the server's process; another one may be made later.
  await page.keyboard.press('a');
  await page.click('dialog[open] button[type=submit]');
  await page.waitForSelector('.series-head .badge:has-text("Delivered")');
  await eventually('all of it is delivered', () => pacs.files().length === 24 || undefined);
  assert.deepEqual(await page.locator('.reviews .badge').allInnerTexts(), ['✓ Accepted', '✕ Rejected']);
  const { stdout } = await runProgram('dcmdump', ['-q', pacs.files()[0]!]);
  assert.match(stdout, /\(0020,4000\) LT \[.*MC-Net: the network would change/);
  assert.match(stdout, /\(0008,2111\) ST \[.*Motion artifact correction not applied by MC-Net/);
  assert.match(stdout, /\[MOTIONPASSED\]/);
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  assert.match(metrics, /^mcnet_instances_flagged_total\{kind="residual"\} 24$/m);
  assert.match(metrics, /^mcnet_reviews_total\{verdict="rejected"\} 1$/m);
  assert.match(metrics, /^mcnet_reviews_total\{verdict="accepted"\} 1$/m);
  assert.deepEqual(complaints, []);
});

test('people log in and out; a viewer looks and does not decide; what is wrong with the server stands on the page', async (t) => {
  if (!needPrograms(t, 'chromium', 'dcmsend', 'dcmodify', 'storescp')) return;
  const files = sharedSeries(t, 'a12');
  if (!files) return;
  const folder = temporaryFolder(t, 'login');
  const users = join(folder, 'users.json');
  for (const [name, role] of [
    ['maria', 'technologist'],
    ['victor', 'viewer'],
  ] as const) {
    await openUsers(users).add(name, role, PASSWORD);
  }
  const models = await modelsFolder(folder);
  const pacs = await startStorescp(t);
  const server = await startMcnet(
    t,
    folder,
    `models: ${models}
engine: cpu
page: { patient: masked }
access: { users: ${users} }
destinations:
  pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${pacs.port} } }
rules:
  - { name: held, when: { Modality: MR }, model: tiny, to: [pacs], hold: until accepted, complete: { quiet: 1s } }
`,
  );
  const browser = await startBrowser(t);
  const named = files.slice(0, 3).map((path, i) => {
    const copy = join(folder, `${i}.dcm`);
    copyFileSync(path, copy);
    return copy;
  });
  const patient = ['PatientName=Secret^Person', 'PatientID=SECRET-ID', 'PatientBirthDate=19010203'];
  const { code, stderr } = await runProgram('dcmodify', [
    '-nb',
    ...patient.flatMap((text) => ['-i', text]),
    ...named,
  ]);
  assert.equal(code, 0, stderr);
  await send(server, named);
  /** Whatever the pages are answered, but what they could only be refused. */
  const bodies: Promise<string>[] = [];
  const listen = (page: Page) =>
    page.on('response', (response) => {
      if (/^\/(api|dicom-web)\//.test(new URL(response.url()).pathname) && !/events$/.test(response.url()))
        bodies.push(
          response.body().then(
            (body) => body.toString('latin1'),
            () => '',
          ),
        );
    });
  const logIn = async (page: Page, name: string) => {
    await page.fill('#name', name);
    await page.fill('#password', PASSWORD);
    await page.click('button[type=submit]');
    await page.waitForSelector(`header .person:has-text("${name}")`);
  };

  const viewer = await openPage(browser, `${server.url}/`);
  listen(viewer.page);
  await checkAccessibility(viewer.page, 'the login page');
  await logIn(viewer.page, 'victor');
  await viewer.page.waitForSelector('tbody[aria-label="Needs a look"] a.open');
  await checkAccessibility(viewer.page, 'the worklist of a viewer');
  assert.equal(await viewer.page.locator('tbody button, tbody a.button').count(), 0);
  await viewer.page.click('a.open');
  await viewer.page.waitForSelector('.pane.second .canvas[data-shown]');
  await viewer.page.waitForSelector('.review:has-text("Technologists decide")');
  assert.equal(await viewer.page.locator('.review .decide button.accept').isDisabled(), true);
  await viewer.page.keyboard.press('a');
  assert.equal(await viewer.page.locator('dialog[open]').count(), 0);

  const { page, complaints } = await openPage(browser, `${server.url}/`);
  listen(page);
  await logIn(page, 'maria');
  await page.click('tbody a.button:has-text("Review")');
  await page.waitForSelector('.pane.second .canvas[data-shown]');
  await page.keyboard.press('i');
  await page.keyboard.press('a');
  await page.fill('dialog[open] textarea', 'good');
  await page.click('dialog[open] button[type=submit]');
  await page.waitForSelector('.reviews:has-text("maria")');
  await page.keyboard.press('Escape');

  // Nothing that the page has asked for names the patient of this series, and nothing that it could ask for would.
  const headers = await page.evaluate(
    `fetch('dicom-web/studies').then(async (answer) => answer.status + ' ' + await answer.text())`,
  );
  assert.match(String(headers), /^403 /);
  const answers = await Promise.all(bodies);
  assert.ok(answers.some((body) => body.includes('FSE PD AXIAL OBL')));
  for (const body of answers) assert.doesNotMatch(body, /secret|19010203/i);

  const file = join(folder, 'mcnet.yaml');
  const good = readFileSync(file, 'utf8');
  writeFileSync(file, good.replace('to: [pacs]', 'to: [pasc]'));
  for (const each of [page, viewer.page])
    await each.waitForSelector('[role=alert]:has-text("did you mean \\"pacs\\"")');
  await checkAccessibility(page, 'a configuration that cannot be used');
  writeFileSync(file, `${good}log: { level: debug }\n`);
  await page.waitForSelector('[role=alert]', { state: 'detached' });
  await page.waitForSelector('.notices [role=status]:has-text("log.level")');

  // The other window of the person is told, and leads back to where it was.
  const other = await page.context().newPage();
  await other.goto(`${server.url}/`);
  await other.click('a.open');
  await other.waitForSelector('.series-head h1');
  await page.click('button:has-text("Log out")');
  await page.waitForSelector('#password');
  await other.waitForSelector('[role=alert]:has-text("You are logged out")');
  await other.waitForSelector('.series-head, .canvas', { state: 'detached' });
  await other.click('[role=alert] a:has-text("Log in")');
  await logIn(other, 'maria');
  await other.waitForSelector('.series-head h1');
  const trail = readFileSync(join(folder, 'var', 'audit', 'audit.xml'), 'utf8');
  for (const code of ['110122', '110123', 'accept']) assert.match(trail, new RegExp(`csd-code="${code}"`));
  // The refused answer above, and what is refused after the logout, are said on the browser's console.
  assert.deepEqual(
    [...complaints, ...viewer.complaints].filter((text) => !/status of 40[13]/.test(text)),
    [],
  );
});

test('what a destination does not take is said with the reason, and sent when a person has it tried again', async (t) => {
  if (!needPrograms(t, 'chromium', 'dcmsend', 'storescp')) return;
  const files = sharedSeries(t, 'a12');
  if (!files) return;
  const { server, browser, pacs } = await start(
    t,
    `  - { name: all, when: { Modality: MR }, model: tiny, to: [pacs], safeguards: { domain: off }, complete: { quiet: 1s } }
`,
  );
  await pacs.stop();
  await send(server, files.slice(0, 3));
  const { page, complaints } = await openPage(browser, `${server.url}/`);
  const group = (title: string) => `tbody[aria-label="${title}"]`;
  await page.waitForSelector(`${group('Needs a look')} .reason:has-text("not delivered to pacs")`);
  await page.waitForSelector('.chip.failed:has-text("pacs does not answer")');
  await checkAccessibility(page, 'a destination that does not answer');
  const back = await startStorescp(t, [], pacs);
  await page.keyboard.press('j');
  await page.keyboard.press('r');
  await page.waitForSelector(`${group('Nothing to do')} .badge:has-text("Delivered")`);
  assert.equal(back.files().length, 3);
  // The row was drawn anew in its other group: the keyboard is still on it.
  assert.equal(await page.evaluate(`document.activeElement.matches('a.open')`), true);
  await page.waitForSelector('.chip.failed', { state: 'detached' });
  assert.deepEqual(complaints, []);
});

test('all series that failed are tried again by one button', async (t) => {
  if (!needPrograms(t, 'chromium', 'dcmsend')) return;
  const [one, two] = [sharedSeries(t, 'a12'), sharedSeries(t, 'a04')];
  if (!one || !two) return;
  let status = 0xa900;
  const taken: string[] = [];
  const pacs = await startDimseServer({
    aeTitle: 'PACS',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: '*', host: '127.0.0.1' }],
    async onStore({ data, sopInstanceUid }) {
      for await (const _ of data);
      if (status === 0) taken.push(sopInstanceUid);
      return { status };
    },
  });
  atEnd(t, () => pacs.close(0));
  const folder = temporaryFolder(t, 'failed');
  const server = await startMcnet(
    t,
    folder,
    `models: ${await modelsFolder(folder)}
engine: cpu
retry: { refusals: 1 }
destinations: { pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${pacs.port} } } }
rules:
  - { name: all, when: { Modality: MR }, model: tiny, to: [pacs], complete: { quiet: 1s } }
`,
  );
  await send(server, [...one.slice(0, 3), ...two.slice(0, 3)]);
  const { page, complaints } = await openPage(await startBrowser(t), `${server.url}/`);
  await holds(page, `document.querySelectorAll('tbody .badge.failed').length === 2`, 120_000);
  await checkAccessibility(page, 'failed series');
  status = 0;
  await page.click('button:has-text("Retry all failed")');
  await holds(page, `document.querySelectorAll('tbody .badge.delivered').length === 2`, 120_000);
  assert.equal(taken.length, 6);
  await page.waitForSelector('button:has-text("Retry all failed")', { state: 'detached' });
  assert.deepEqual(complaints, []);
});

test('what DICOM texts say stays text', async (t) => {
  if (!needPrograms(t, 'chromium', 'dcmsend', 'dcmodify', 'storescp')) return;
  const files = sharedSeries(t, 'a12');
  if (!files) return;
  const { server, browser, folder } = await start(
    t,
    `  - { name: "<b>rule</b>", when: { Modality: MR }, model: tiny, to: [pacs], complete: { quiet: 1s } }
`,
  );
  const copies = join(folder, 'copies');
  mkdirSync(copies);
  const paths = files.slice(0, 3).map((path, i) => {
    const copy = join(copies, `${i}.dcm`);
    copyFileSync(path, copy);
    return copy;
  });
  const script = '<img src=x onerror=alert(1)>';
  const texts = ['PatientName', 'PatientID', 'StudyDescription', 'SeriesDescription', 'Manufacturer'];
  const extra = ['AccessionNumber=<i>1</i>', 'PatientSex=<b>', 'BodyPartExamined=<U>BRAIN'];
  const { code, stderr } = await runProgram('dcmodify', [
    '-nb',
    ...texts.flatMap((keyword) => ['-i', `${keyword}=${script}`]),
    ...extra.flatMap((text) => ['-i', text]),
    ...paths,
  ]);
  assert.equal(code, 0, stderr);
  await send(server, paths);
  const { page, complaints } = await openPage(browser, `${server.url}/`);
  page.on('dialog', (dialog) => {
    complaints.push(`a dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.waitForSelector('tbody tr:has-text("3 of 3 corrected")');
  assert.match(await page.locator('tbody tr:has(a.open)').innerText(), /<img src=x onerror=alert\(1\)>/);
  await openSeries(page, script, 3);
  assert.match(await page.locator('.series-head').innerText(), /<img src=x onerror=alert\(1\)>/);
  assert.equal(await page.locator('img[src=x], aside b, .series-head i').count(), 0);
  assert.match(await page.locator('aside').innerText(), /<b>rule<\/b>/);
  assert.deepEqual(complaints, []);
});

test('the first picture of 170 slices does not wait for the others', async (t) => {
  if (!needPrograms(t, 'chromium', 'dcmsend', 'storescp')) return;
  const files = sharedSeries(t, 'a01');
  if (!files) return;
  const { server, browser } = await start(
    t,
    `  - { name: all, when: { Modality: MR }, model: tiny, to: [pacs], complete: { quiet: 1s } }
`,
  );
  await send(server, files);
  const { page, complaints, requests } = await openPage(browser, `${server.url}/`);
  await page.waitForSelector('tbody tr:has-text("170 of 170 corrected")', { timeout: 300_000 });
  await page.waitForSelector('tbody .badge:has-text("Delivered")', { timeout: 300_000 });
  const earlier = requests.length;
  await page.evaluate(`new MutationObserver((_, observer) => {
    if (!document.querySelector('.pane.first .canvas[data-shown]')) return;
    performance.mark('shown');
    observer.disconnect();
  }).observe(document, { subtree: true, attributeFilter: ['data-shown'] })`);
  const begun = performance.now();
  await page.click('a.open');
  await page.waitForSelector('.pane.first .canvas[data-shown]', { state: 'attached' });
  const ms = Math.round(performance.now() - begun);
  const before = (await page.evaluate(`(() => {
    const [{ startTime: shown }] = performance.getEntriesByName('shown');
    const asked = performance.getEntriesByType('resource');
    return asked.filter(({ name, startTime }) => name.includes('/frames/') && startTime < shown).map(({ name }) => name);
  })()`)) as string[];
  t.diagnostic(`first picture after ${ms} ms, ${before.length} frames asked for by then`);
  assert.ok(
    before.length > 0 && before.length <= 2,
    `asked for before the first picture: ${before.join(', ')}`,
  );
  await shownSlice(page, 86, 170);
  assert.ok((await canvasOf(page, 'first')).lit > 10_000);
  await eventually(
    'most frames are asked for ahead',
    () => requests.slice(earlier).filter((url) => url.includes('/frames/')).length >= 250 || undefined,
    120_000,
  );
  await page.keyboard.press('End');
  await shownSlice(page, 170, 170);
  assert.deepEqual(complaints, []);
});

async function rateCase(page: Page, scores: { left: number; right: number; better: string }): Promise<void> {
  for (const side of ['left', 'right'] as const) {
    for (const measure of ['artefact', 'sharpness', 'confidence'])
      await page.check(`input[name="${side} ${measure}"][value="${scores[side]}"]`);
  }
  await page.click(`.better label:has-text("${scores.better}")`);
  await page.click('button.save');
}

test('two readers rate blinded cases, with a break, and the results say how they agree', async (t) => {
  if (!needPrograms(t, 'chromium', 'dcmsend', 'storescp')) return;
  const [one, two] = [sharedSeries(t, 'a12'), sharedSeries(t, 'a04')];
  if (!one || !two) return;
  const { server, browser, folder } = await start(
    t,
    `  - { name: all, when: { Modality: MR }, model: tiny, to: [pacs], complete: { quiet: 1s } }
`,
  );
  await send(server, [...one, ...two]);
  const admin = await openPage(browser, `${server.url}/`);
  await holds(admin.page, `document.querySelectorAll('tbody .badge.delivered').length === 2`, 120_000);
  await admin.page.click('nav a:has-text("Reader study")');
  await admin.page.click('summary');
  await admin.page.fill('.new-study input[type=text]', 'Pilot');
  await holds(admin.page, `document.querySelectorAll('.choice input').length === 2`);
  for (const box of await admin.page.locator('.choice input').all()) await box.check();
  await checkAccessibility(admin.page, 'a new study');
  await admin.page.click('.new-study button');
  await admin.page.waitForSelector('.study-list:has-text("Pilot")');
  assert.deepEqual(admin.complaints, []);

  const opened: Awaited<ReturnType<typeof openPage>>[] = [];
  for (const reader of ['Reader A', 'Reader B']) {
    const session = await openPage(browser, `${server.url}/reader-study/`);
    const { page, requests } = session;
    opened.push(session);
    const sizes = new Map<string, Set<string>>();
    page.on('response', (response) => {
      const side = /\/(left|right)\/\d+\?/.exec(response.url())?.[1];
      if (!side) return;
      const headers = response.headers();
      // The one tells of the pixels, which the reader gets anyway.
      delete headers.etag;
      delete headers.date;
      sizes.set(side, (sizes.get(side) ?? new Set()).add(JSON.stringify(headers)));
    });
    await page.fill('.reader input', reader);
    await page.click('a:has-text("Begin")');
    for (let round = 0; round < 2; round += 1) {
      await page.waitForSelector(`text=Case ${round + 1} of 2`);
      await page.waitForSelector('.pane.first .canvas[data-shown]');
      await page.waitForSelector('.pane.second .canvas[data-shown]');
      await settled(page);
      if (round === 0 && reader === 'Reader A') await checkAccessibility(page, 'rating');
      // Neither the page nor what it asks for says which side is the corrected one, or which series it is.
      const html = await page.content();
      assert.doesNotMatch(
        html.replaceAll(/aria-label="Move[^"]*"/g, ''),
        /corrected|original|derived|residual/i,
      );
      for (const url of requests.filter((each) => each.includes('/cases/'))) {
        assert.match(url, /\/cases\/[\w-]{22}(\/(left|right)\/\d+)?\?reader=Reader%20[AB]$/);
      }
      await rateCase(page, { left: 2, right: 4, better: round === 0 ? 'Right' : 'No difference' });
      if (round === 0) {
        // A break: the browser is closed, and the reader goes on where it was.
        await page.waitForSelector('text=Case 2 of 2');
        await page.goto(`${server.url}/reader-study/`);
        await page.waitForSelector(`text=1 of 2 cases rated by ${reader}`);
        await page.click('a:has-text("Go on")');
      }
    }
    await page.waitForSelector('text=All 2 cases are rated');
    assert.deepEqual(sizes.get('left'), sizes.get('right'), 'the sides are answered alike');
  }
  const { page } = opened[0]!;
  await page.click('a:has-text("Back to the studies")');
  const csv = async (link: string) => {
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.click(`a:has-text("${link}")`),
    ]);
    const chunks: Buffer[] = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString().trim().split('\r\n');
  };
  const ratings = await csv('Ratings');
  assert.equal(ratings.length, 1 + 4);
  assert.match(ratings[0]!, /^case,series,reader,preferred,corrected_side,artefact_original/);
  for (const line of ratings.slice(1)) {
    const [, , , preferred, side, ...scores] = line.split(',');
    assert.deepEqual(
      scores.slice(0, 6),
      side === 'right' ? ['2', '2', '2', '4', '4', '4'] : ['4', '4', '4', '2', '2', '2'],
    );
    assert.ok(preferred === 'equal' || preferred === (side === 'right' ? 'corrected' : 'original'));
  }
  const trail = readFileSync(join(folder, 'var', 'audit', 'audit.xml'), 'utf8');
  assert.equal([...trail.matchAll(/csd-code="rate"/g)].length, 4, 'who rated what stands in the audit trail');
  const statistics = await csv('Kappa');
  assert.ok(
    statistics.some((line) =>
      /^"?Cohen's kappa, quadratic weights"?,Reader A,Reader B,"artefact, original",2/.test(line),
    ),
    statistics.join('\n'),
  );
  assert.ok(statistics.some((line) => /^"Wilcoxon signed rank test/.test(line)));
  assert.deepEqual(
    opened.flatMap(({ complaints }) => complaints),
    [],
  );
});
