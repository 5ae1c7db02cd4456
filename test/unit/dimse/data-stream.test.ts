import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DataStream } from '../../../src/dimse/data-stream.js';

function stream(): { data: DataStream; queued: () => number } {
  let queued = 0;
  const data = new DataStream((delta) => {
    queued += delta;
  });
  return { data, queued: () => queued };
}

test('parts come in order, before and after somebody waits', async () => {
  const { data, queued } = stream();
  data.push(Buffer.from('a'));
  data.push(Buffer.from('b'));
  assert.ok(queued() > 2);
  setTimeout(() => {
    data.push(Buffer.from('c'));
    data.end();
  }, 5);
  let text = '';
  for await (const part of data) text += part.toString();
  assert.equal(text, 'abc');
  assert.equal(queued(), 0);
  assert.equal(data.received, 3);
});

test('an association that ends first is an error for the reader, never a shorter data set', async () => {
  const { data, queued } = stream();
  data.push(Buffer.from('half'));
  const read = (async () => {
    for await (const _ of data);
  })();
  setTimeout(() => data.fail(new Error('aborted')), 5);
  await assert.rejects(read, /aborted/);
  assert.equal(queued(), 0);
  const { data: late } = stream();
  late.push(Buffer.from('half'));
  late.fail(new Error('aborted'));
  await assert.rejects(late[Symbol.asyncIterator]().next(), /aborted/);
});

test('leaving the loop drops what is queued and what still comes', async () => {
  const { data, queued } = stream();
  data.push(Buffer.from('a'));
  data.push(Buffer.from('b'));
  for await (const _ of data) break;
  data.push(Buffer.from('c'));
  assert.equal(queued(), 0);
  const complete = data.whenComplete();
  data.end();
  await complete;
});

test('tiny parts count more than their bytes', () => {
  const { data, queued } = stream();
  for (let i = 0; i < 1000; i += 1) data.push(Buffer.from('x'));
  assert.ok(queued() >= 100_000, `${queued()}`);
});
