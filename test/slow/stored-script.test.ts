/** Images whose headers carry scripts, shown by the page in a real browser: text stays text. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openWindow } from '../peers/support/devtools.js';
import { eventually, needPrograms } from '../peers/support/process.js';
import { startArchiveServer } from '../unit/dicomweb/archive-server.js';
import { hostileObject, SERIES } from '../unit/web/hostile-object.js';

test('in Chromium no element comes from a header, and nothing of it runs', async (t) => {
  if (!needPrograms(t, 'chromium')) return;
  const { server, store, pipeline } = await startArchiveServer(t);
  pipeline.start();
  await store(hostileObject('1.2.840.99.1.1.1', { everything: true }));
  await eventually('the series is there', () => pipeline.series.get(SERIES));
  const window = await openWindow(t);
  for (const path of ['/', `/#/series/${SERIES}`]) {
    await window.goTo('about:blank');
    await window.goTo(server.url + path);
    await eventually(`${path} shows the text`, async () =>
      (await window.evaluate<boolean>("document.body.textContent.includes('onerror=alert(1)')"))
        ? true
        : undefined,
    );
    const made = await window.evaluate<number>(
      'document.querySelectorAll(\'[onerror], img[src="x"], script:not([src]), iframe, object\').length',
    );
    assert.equal(made, 0, path);
  }
  assert.deepEqual(window.heard, []);
});
