import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseMediaType } from '../../../src/dicomweb/media-type.js';
import { MultipartError, readParts } from '../../../src/dicomweb/multipart.js';

async function* inChunks(body: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let at = 0;
  for (let turn = 0; at < body.length; turn++) {
    const size = sizes[turn % sizes.length]!;
    yield body.subarray(at, at + size);
    at += size;
  }
}

async function collect(source: AsyncIterable<Buffer>, boundary = 'b') {
  const parts: { headers: Record<string, string>; body: string }[] = [];
  for await (const part of readParts(source, boundary)) {
    const chunks: Buffer[] = [];
    for await (const chunk of part.body) chunks.push(chunk);
    parts.push({ headers: Object.fromEntries(part.headers), body: Buffer.concat(chunks).toString('latin1') });
  }
  return parts;
}

const text = (value: string, size = 1000) => inChunks(Buffer.from(value, 'latin1'), [size]);

test('preamble, epilogue, padding after the boundary, parts without header or content', async () => {
  const body =
    'preamble\r\n--b \t\r\nContent-Type: application/dicom\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b\r\nA: x\r\n\r\n\r\n--b\r\nA: y\r\n\r\n--b--\r\nepilogue';
  for (const size of [1, 2, 3, 7, 1000]) {
    assert.deepEqual(await collect(text(body, size)), [
      { headers: { 'content-type': 'application/dicom' }, body: 'one' },
      { headers: {}, body: 'two' },
      { headers: { a: 'x' }, body: '' },
      { headers: { a: 'y' }, body: '' },
    ]);
  }
});

test('any content arrives unchanged, however it is cut into chunks', async () => {
  const content = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
    fc.constantFrom('\r\n--', '\r\n', '--b', '\r\n--c', '\r', '\r\r\n-', '\r\n-\r\n--a--'),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(content, { minLength: 1, maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 5 }),
      async (contents, sizes) => {
        fc.pre(contents.every((c) => !c.includes('\r\n--bound') && !c.startsWith('--bound')));
        const body = `${contents.map((c) => `--bound\r\nContent-Type: application/dicom\r\n\r\n${c}\r\n`).join('')}--bound--`;
        const parts = await collect(inChunks(Buffer.from(body, 'latin1'), sizes), 'bound');
        assert.deepEqual(
          parts.map((part) => part.body),
          contents,
        );
      },
    ),
    { numRuns: 200, seed: 1 },
  );
});

test('a body that ends early is truncated, wherever it ends', async () => {
  const whole = '--b\r\nA: x\r\n\r\ncontent\r\n--b--';
  for (let length = 0; length < whole.length; length++) {
    await assert.rejects(
      collect(text(whole.slice(0, length), 5)),
      (error: unknown) => error instanceof MultipartError && error.code === 'truncated',
      `cut after ${length} bytes`,
    );
  }
  assert.equal((await collect(text(whole))).length, 1);
});

test('malformed bodies are refused in bounded memory', async () => {
  const cases = [
    'x'.repeat(70_000),
    `--b\r\n${'A: x\r\n'.repeat(4000)}\r\nc\r\n--b--`,
    `--b\r\nA: ${'x'.repeat(20_000)}`,
    '--b\r\nno colon\r\n\r\nc\r\n--b--',
    '--bX\r\nA: x\r\n\r\nc\r\n--b--',
  ];
  for (const body of cases) {
    await assert.rejects(
      collect(text(body, 999)),
      (error: unknown) => error instanceof MultipartError && error.code === 'malformed',
      body.slice(0, 40),
    );
  }
});

test('a part that is not read is skipped', async () => {
  const seen: string[] = [];
  const body = '--b\r\nN: 1\r\n\r\nlong content\r\n--b\r\nN: 2\r\n\r\nmore\r\n--b--';
  for await (const part of readParts(text(body, 3), 'b')) {
    seen.push(part.headers.get('n')!);
    for await (const _ of part.body) break;
  }
  assert.deepEqual(seen, ['1', '2']);
});

test('a slow reader stops the sender', async () => {
  let produced = 0;
  async function* endless() {
    yield Buffer.from('--b\r\n\r\n');
    for (;;) {
      produced += 1;
      yield Buffer.alloc(65_536);
    }
  }
  for await (const part of readParts(endless(), 'b')) {
    let read = 0;
    for await (const chunk of part.body) {
      read += chunk.length;
      if (read > 1e6) break;
    }
    break;
  }
  assert.ok(produced <= 17, `${produced} chunks were pulled for 1 MB`);
});

test('media types with quoted parameters', () => {
  const media = parseMediaType(
    'Multipart/Related; type="application/dicom"; boundary="a;b=\\"c\\""; start=x',
  );
  assert.equal(media?.type, 'multipart/related');
  assert.deepEqual(Object.fromEntries(media!.parameters), {
    type: 'application/dicom',
    boundary: 'a;b="c"',
    start: 'x',
  });
  assert.equal(parseMediaType('application/dicom;')?.type, 'application/dicom');
  for (const bad of [undefined, '', 'x', 'a/b; c', 'a/b; c="d', 'a/b c=d'])
    assert.equal(parseMediaType(bad), undefined);
});
