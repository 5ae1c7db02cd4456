/** The upper layer against DCMTK: echoscu, storescu, dcmsend and storescp. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadConfig } from '../../src/config/index.js';
import { dimseDestination } from '../../src/delivery/index.js';
import * as dimse from '../../src/dimse/index.js';
import { type DimseTarget, echo, startDimseServer, storeInstances } from '../../src/dimse/index.js';
import { sharedSeries } from './support/data.js';
import { outgoing, startReceiver } from './support/dimse.js';
import { dcmToJson } from './support/inspect.js';
import { startNode } from './support/node.js';
import { joinPart10, type SplitFile, splitPart10 } from './support/part10.js';
import { atEnd, eventually, needPrograms, runProgram, temporaryFolder } from './support/process.js';
import { startStorescp } from './support/storescp.js';

const to = (port: number, more: Partial<DimseTarget> = {}): DimseTarget => ({
  host: '127.0.0.1',
  port,
  calledAeTitle: 'PACS',
  callingAeTitle: 'MCNET',
  ...more,
});

/** As our sender sends it: a deflated data set of odd length gets a trailing NULL. */
function asSent(path: string): SplitFile {
  const file = splitPart10(path);
  const odd = file.dataSet.length % 2 === 1;
  return odd ? { ...file, dataSet: Buffer.concat([file.dataSet, Buffer.alloc(1)]) } : file;
}

const UNCOMPRESSED = /^1\.2\.840\.10008\.1\.2(\.1|\.2)?$/;
const JPEG_LOSSLESS = '1.2.840.10008.1.2.4.70';

test('echoscu: answered, and rejected with the reasons that it prints', async (t) => {
  if (!needPrograms(t, 'echoscu')) return;
  const { server, events } = await startReceiver(t, { peers: [{ aeTitle: 'PACS', host: '127.0.0.1' }] });
  const run = (aet: string, aec: string, ...more: string[]) =>
    runProgram('echoscu', ['-aet', aet, '-aec', aec, ...more, '127.0.0.1', String(server.port)]);
  assert.equal((await run('PACS', 'MCNET')).code, 0);
  assert.equal(
    (await run('PACS', 'MCNET', '--repeat', '5', '-pts', '3', '-ppc', '128', '-pdu', '4096')).code,
    0,
  );
  assert.equal((await run('PACS', 'MCNET', '--abort')).code, 0);
  const called = await run('PACS', 'OTHER');
  assert.notEqual(called.code, 0);
  assert.match(called.stdout + called.stderr, /Called AE Title Not Recognized/);
  const calling = await run('WHO', 'MCNET');
  assert.match(calling.stdout + calling.stderr, /Calling AE Title Not Recognized/);
  assert.deepEqual(
    events.map(({ event }) => event),
    ['accepted', 'released', 'accepted', 'released', 'accepted', 'aborted', 'rejected', 'rejected'],
  );
});

test('echo of storescp, and of one that refuses', async (t) => {
  if (!needPrograms(t, 'storescp')) return;
  await echo(to((await startStorescp(t)).port));
  await assert.rejects(echo(to((await startStorescp(t, ['--refuse'])).port)), { code: 'rejected' });
});

const SENT: { folder: string; options: string[]; transferSyntax: string; filter?: RegExp }[] = [
  { folder: 'a02', options: ['-xe'], transferSyntax: '1.2.840.10008.1.2.1' },
  { folder: 'a02', options: ['-xi'], transferSyntax: '1.2.840.10008.1.2' },
  { folder: 'a02', options: ['-xb', '+C'], transferSyntax: '1.2.840.10008.1.2.2' },
  {
    folder: 'a02',
    options: ['-xe', '-pdu', '4096', '--max-send-pdu', '4096'],
    transferSyntax: '1.2.840.10008.1.2.1',
  },
  { folder: 'a05', options: ['-xs'], transferSyntax: JPEG_LOSSLESS },
  { folder: 'a06', options: ['-xi', '-R'], transferSyntax: '1.2.840.10008.1.2' },
  { folder: 'a15', filter: /J2KR/, options: ['-xv'], transferSyntax: '1.2.840.10008.1.2.4.90' },
  { folder: 'a15', filter: /JLSL\//, options: ['-xt'], transferSyntax: '1.2.840.10008.1.2.4.80' },
  { folder: 'a15', filter: /RLE/, options: ['-xr'], transferSyntax: '1.2.840.10008.1.2.5' },
  { folder: 'a15', filter: /DEFL/, options: ['-xd'], transferSyntax: '1.2.840.10008.1.2.1.99' },
  { folder: 'a14', filter: /JPLY/, options: ['-xx'], transferSyntax: '1.2.840.10008.1.2.4.51' },
];
for (const { folder, options, transferSyntax, filter } of SENT) {
  test(`storescu ${options.join(' ')}, ${folder}: every file, in ${transferSyntax}, whole`, async (t) => {
    if (!needPrograms(t, 'storescu', 'dcmdump')) return;
    const files = sharedSeries(t, folder)?.filter((path) => filter === undefined || filter.test(path));
    if (files === undefined) return;
    assert.ok(files.length > 0);
    const { server, received } = await startReceiver(t);
    const { code, stdout, stderr } = await runProgram('storescu', [
      '-aec',
      'MCNET',
      ...options,
      '127.0.0.1',
      String(server.port),
      ...files,
    ]);
    assert.equal(code, 0, stdout + stderr);
    assert.equal(received.length, files.length);
    for (const file of received) assert.equal(file.transferSyntaxUid, transferSyntax);
    await assertReadable(temporaryFolder(t), received);
  });
}

/** DCMTK reads every data set to its end. */
async function assertReadable(folder: string, files: readonly SplitFile[]): Promise<void> {
  const paths = files.map((file, index) => {
    const path = join(folder, `${index}.dcm`);
    writeFileSync(path, joinPart10(file));
    return path;
  });
  const { code, stderr } = await runProgram('dcmdump', ['-q', '+P', 'PixelData', ...paths]);
  assert.equal(code, 0, stderr);
}

test('dcmsend: ten encodings over one association, compressed ones as they are', async (t) => {
  if (!needPrograms(t, 'dcmsend', 'dcmdump')) return;
  const files = sharedSeries(t, 'a15');
  if (files === undefined) return;
  const { server, received } = await startReceiver(t);
  const args = ['-aec', 'MCNET', '--decompress-never', '127.0.0.1', String(server.port), ...files];
  const { code, stdout, stderr } = await runProgram('dcmsend', args);
  assert.equal(code, 0, stdout + stderr);
  assert.equal(received.length, files.length);
  const count = (uids: string[]) => uids.sort().join(' ');
  assert.equal(
    count(received.map((file) => file.transferSyntaxUid)),
    count(
      files
        .map((path) => splitPart10(path).transferSyntaxUid)
        .map((uid) => (UNCOMPRESSED.test(uid) ? '1.2.840.10008.1.2.1' : uid)),
    ),
  );
  await assertReadable(temporaryFolder(t), received);
});

test('storescu is told the status that the handler gave', async (t) => {
  if (!needPrograms(t, 'storescu')) return;
  const files = sharedSeries(t, 'a02');
  if (files === undefined) return;
  const { server } = await startReceiver(t, {
    onStore: () => Promise.resolve({ status: 0xa700, errorComment: 'disk full' }),
  });
  const args = ['-v', '-aec', 'MCNET', '127.0.0.1', String(server.port), files[0]!];
  const { code, stdout, stderr } = await runProgram('storescu', args);
  assert.notEqual(code, 0);
  assert.match(stdout + stderr, /Out ?of ?Resources/i);
});

test('storescp +B keeps exactly the bytes that we send, in every encoding that it takes', async (t) => {
  if (!needPrograms(t, 'storescp')) return;
  const files = ['a01', 'a11', 'a14', 'a15']
    .flatMap((name) => (sharedSeries(t, name) ?? []).slice(0, 40))
    .filter(
      // Process 14 with other predictors is the one syntax of these that DCMTK does not negotiate.
      (path) => splitPart10(path).transferSyntaxUid !== '1.2.840.10008.1.2.4.57',
    );
  if (files.length === 0) return;
  const { port, files: stored } = await startStorescp(t, ['+B', '+xa']);
  const outcomes = await storeInstances(to(port), files.map(outgoing));
  for (const outcome of outcomes) assert.equal(outcome.outcome, 'accepted', outcome.message);
  const contents = (list: SplitFile[]) =>
    list.map((file) => `${file.transferSyntaxUid} ${file.dataSet.toString('base64')}`).sort();
  const same = contents(stored().map(splitPart10)).every(
    (text, index) => text === contents(files.map(asSent))[index],
  );
  assert.equal(stored().length, files.length);
  assert.ok(same);
});

test('every file of the shared data, byte for byte through our sender and our receiver', async (t) => {
  const names = ['a01', 'a03', 'a04', 'a05', 'a06', 'a07', 'a08', 'a09', 'a10', 'a11', 'a12', 'a14', 'a15'];
  const files = names.flatMap((name) => sharedSeries(t, name) ?? []);
  if (files.length === 0) return;
  const sent = files.map(asSent);
  const { server, received } = await startReceiver(t);
  const target = to(server.port, { calledAeTitle: 'MCNET' });
  const outcomes = await storeInstances(target, files.map(outgoing));
  for (const outcome of outcomes) assert.equal(outcome.outcome, 'accepted', outcome.message);
  assert.equal(received.length, sent.length);
  const inOrder = (list: SplitFile[]) =>
    [...list].sort(
      (a, b) => a.sopInstanceUid.localeCompare(b.sopInstanceUid) || Buffer.compare(a.dataSet, b.dataSet),
    );
  const [expected, actual] = [inOrder(sent), inOrder(received)];
  expected.forEach((file, index) => {
    assert.ok(file.dataSet.equals(actual[index]!.dataSet), file.sopInstanceUid);
    assert.equal(file.transferSyntaxUid, actual[index]!.transferSyntaxUid);
  });
});

const STORESCP: { options: string[]; operations?: number; expected: string; text?: RegExp }[] = [
  { options: [], expected: 'accepted' },
  { options: ['-pdu', '4096'], expected: 'accepted' },
  { options: ['--reject'], expected: 'accepted' },
  { options: ['--ignore', '--sleep-after', '1'], expected: 'accepted' },
  { options: ['--refuse'], expected: 'refused', text: /rejected permanently/ },
  { options: ['--abort-after'], expected: 'lost', text: /A-ABORT/ },
  { options: ['--abort-during'], expected: 'lost', text: /A-ABORT|connection was lost/ },
];
for (const { options, expected, text } of STORESCP) {
  test(`storescp ${options.join(' ') || 'as it is'}: every instance ${expected}`, async (t) => {
    if (!needPrograms(t, 'storescp')) return;
    const files = sharedSeries(t, 'a02')?.slice(0, options.includes('--sleep-after') ? 1 : 5);
    if (files === undefined) return;
    const { port } = await startStorescp(t, options);
    const outcomes = await storeInstances(to(port), files.map(outgoing));
    assert.equal(outcomes.length, files.length);
    for (const outcome of outcomes) {
      assert.equal(outcome.outcome, expected, outcome.message);
      if (text !== undefined) assert.match(outcome.message, text);
    }
  });
}

test('storescp without compression: those instances are refused with the reason, the others go', async (t) => {
  if (!needPrograms(t, 'storescp')) return;
  const [plain, compressed] = [sharedSeries(t, 'a02'), sharedSeries(t, 'a05')];
  if (plain === undefined || compressed === undefined) return;
  const { port, files } = await startStorescp(t);
  const outcomes = await storeInstances(to(port), [plain[0]!, compressed[0]!, plain[1]!].map(outgoing));
  assert.deepEqual(
    outcomes.map((outcome) => outcome.outcome),
    ['accepted', 'refused', 'accepted'],
  );
  assert.match(outcomes[1]!.message, /JPEG Lossless.*transfer syntax not supported/);
  assert.equal(files().length, 2);
});

test('storescp killed inside a series: what it answered stays, everything else is lost', async (t) => {
  if (!needPrograms(t, 'storescp')) return;
  const files = sharedSeries(t, 'a01');
  if (files === undefined) return;
  const { port, stop } = await startStorescp(t, ['+B']);
  let answered = 0;
  const outcomes = await storeInstances(to(port), files.map(outgoing), {
    onOutcome: () => {
      answered += 1;
      if (answered === 20) void stop();
    },
  });
  assert.equal(outcomes.length, files.length);
  const accepted = outcomes.filter((outcome) => outcome.outcome === 'accepted').length;
  assert.ok(accepted >= 20 && accepted < files.length, `${accepted}`);
  for (const outcome of outcomes.slice(accepted)) {
    assert.equal(outcome.outcome, 'lost');
    assert.ok(outcome.transient);
  }
});

test('storescu to a disk that takes a while: nothing is aborted, memory stays bounded', async (t) => {
  if (!needPrograms(t, 'storescu')) return;
  const files = sharedSeries(t, 'a02')?.slice(0, 10);
  if (files === undefined) return;
  let most = 0;
  let count = 0;
  const server = await startDimseServer({
    aeTitle: 'MCNET',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: '*', host: '127.0.0.1' }],
    limits: { bufferBytes: 65_536, idleMs: 400 },
    onStore: async ({ data }) => {
      for await (const _ of data) {
        most = Math.max(most, server.bufferedBytes());
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await new Promise((resolve) => setTimeout(resolve, 60));
      count += 1;
      return { status: 0 };
    },
  });
  atEnd(t, () => server.close(0));
  const { code, stdout, stderr } = await runProgram('storescu', [
    '-aec',
    'MCNET',
    '127.0.0.1',
    String(server.port),
    ...files,
  ]);
  assert.equal(code, 0, stdout + stderr);
  assert.equal(count, files.length);
  assert.ok(most < 256 * 1024, `${most}`);
});

test('who calls is logged by the name that it claims, never its password; objects have a largest size', async (t) => {
  const files = sharedSeries(t, 'a02');
  if (files === undefined || !needPrograms(t, 'storescu')) return;
  const lines: string[] = [];
  const { limits } = loadConfig();
  const node = await startNode(
    t,
    { limits: { ...limits, instanceBytes: 10_000 } },
    { write: (line) => lines.push(line) },
  );
  const { code, stdout, stderr } = await runProgram('storescu', [
    ...['-v', '-usr', 'radiographer', '-pwd', 'tOpSecret', '-rsp', '-aec', 'MCNET'],
    ...['127.0.0.1', String(node.port), files[0]!],
  ]);
  assert.match(stdout + stderr, /0xa700|OutOfResources|Out of Resources/i, String(code));
  const [association] = await eventually('the association is logged', () => {
    const all = lines
      .map((line) => JSON.parse(line) as { msg: string; userIdentity?: unknown })
      .filter(({ msg }) => msg.startsWith('association '));
    return all.length === 2 ? all : undefined;
  });
  assert.deepEqual(association?.userIdentity, { type: 2, responseRequested: true, name: 'radiographer' });
  assert.ok(!lines.join('').includes('tOpSecret'));
  const { count } = node.pipeline.archive.db.get<{ count: number }>(
    'SELECT COUNT(*) AS count FROM instances',
  )!;
  assert.equal(count, 0);
});

test('a destination that takes implicit VR little endian alone is delivered to', async (t) => {
  const [path] = sharedSeries(t, 'a02') ?? [];
  if (path === undefined || !needPrograms(t, 'storescp', 'dcm2json')) return;
  const storescp = await startStorescp(t, ['+xi']);
  const { dataSet, ...uids } = splitPart10(path);
  const destination = dimseDestination(
    'old',
    { host: '127.0.0.1', port: storescp.port, calledAeTitle: 'PACS', callingAeTitle: 'MCNET' },
    dimse,
  );
  const [outcome] = await destination.send([
    {
      ...uids,
      bytes: dataSet.length,
      dataSet: async () => dataSet,
      file: async () => readFileSync(path),
    },
  ]);
  assert.equal(outcome?.outcome, 'accepted', outcome?.message);
  const [arrived] = storescp.files();
  assert.equal(splitPart10(arrived!).transferSyntaxUid, '1.2.840.10008.1.2');
  const [there, here] = [await dcmToJson(arrived!), await dcmToJson(path)];
  for (const tag of ['00080018', '00100010', '0020000E', '7FE00010'])
    assert.deepEqual(there[tag]?.Value ?? there[tag], here[tag]?.Value ?? here[tag], tag);
});
