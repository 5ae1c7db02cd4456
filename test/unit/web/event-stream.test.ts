import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SeriesView } from '../../../src/web/index.js';
import { startFakeServer } from './fake-server.js';

/** Reads a stream of server-sent events until it has so many, or time is over. */
async function read(url: string, count: number, started: () => void) {
  const response = await fetch(`${url}/api/events`, { signal: AbortSignal.timeout(5000) });
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  const events: { event: string; data: unknown }[] = [];
  let text = '';
  for await (const chunk of response.body!) {
    text += Buffer.from(chunk).toString('utf8');
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const lines = Object.fromEntries(
        text
          .slice(0, end)
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
      );
      text = text.slice(end + 2);
      if (lines.event) events.push({ event: lines.event, data: JSON.parse(lines.data!) });
      if (lines.event === 'hello') started();
    }
    if (events.length >= count) break;
  }
  return events;
}

test('changes come as events; many of one series in a moment come once, with its latest state', async (t) => {
  const fake = await startFakeServer();
  t.after(() => fake.close());
  const [first, second] = fake.all;
  const events = await read(fake.url, 4, () => {
    for (let i = 0; i < 50; i++) fake.change(first!.series);
    fake.change(second!.series);
    fake.change('1.2.3.not.known');
    first!.state = 'complete';
  });
  assert.deepEqual(
    events.map(({ event, data }) => [
      event,
      (data as Partial<SeriesView>).series,
      (data as Partial<SeriesView>).state,
    ]),
    [
      ['hello', undefined, undefined],
      ['series', first!.series, 'complete'],
      ['series', second!.series, 'corrected'],
      ['gone', '1.2.3.not.known', undefined],
    ],
  );
});

test('closing ends open streams and stops listening, so that the server can stop', async () => {
  const fake = await startFakeServer();
  const ended = (await fetch(`${fake.url}/api/events`)).text();
  assert.equal(fake.listeners(), 1);
  const start = performance.now();
  await fake.close();
  assert.ok(performance.now() - start < 10_000, 'connections had to be cut');
  assert.equal(fake.listeners(), 0);
  assert.match(await ended, /^retry: 2000\nevent: hello/);
});
