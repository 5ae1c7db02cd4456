/** The command line as people and scripts meet it: exit codes, sentences instead of stack traces, help with examples. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { storeInstances } from '../../src/dimse/index.js';
import type { SeriesView } from '../../src/series/index.js';
import { writeModel } from '../unit/inference/tiny-onnx.js';
import { mcnet, modelsFolder, startMcnet } from './support/mcnet.js';
import { atEnd, eventually, type Finished, runProgram, temporaryFolder } from './support/process.js';
import { asBrokenJpeg, asCt, newSeries, outgoingOf, writeFiles } from './support/slices.js';

const repository = fileURLToPath(new URL('../../../', import.meta.url));

/** What goes wrong is a sentence on standard error. */
function assertSentence({ stderr }: Finished, says: RegExp): void {
  assert.match(stderr, says);
  assert.match(stderr, /^mcnet: /m);
  assert.doesNotMatch(stderr, /^\s+at .*:\d+:\d+/m, 'a stack trace');
}

test('every command has help with examples and exit codes; wrong usage ends with 2', async () => {
  const commands = [
    'serve',
    'gateway',
    'worker',
    'correct',
    'check-config',
    'doctor',
    'series ls',
    'series show',
    'series retry',
  ];
  await Promise.all(
    commands.map(async (command) => {
      const help = await mcnet([...command.split(' '), '--help']);
      assert.equal(help.code, 0, command);
      assert.match(help.stdout, new RegExp(`Examples:\n +mcnet ${command}`), command);
      assert.match(help.stdout, /Exit codes: 0 /, command);
    }),
  );
  const wrong = [
    [],
    ['nonsense'],
    ['serve', '--nonsense'],
    ['correct', 'x'],
    ['check-config'],
    ['series', 'show'],
    ['series', 'retry'],
    ['series', 'retry', '1.2.3', '--all-failed'],
    ['series', 'ls', '--limit', 'many'],
    ['series', 'ls', '--state', 'lost'],
  ];
  await Promise.all(
    wrong.map(async (args) => {
      const { code, stderr } = await mcnet(args);
      assert.equal(code, 2, `mcnet ${args.join(' ')}`);
      assert.match(stderr, /error:|Usage:/);
    }),
  );
});

test('npx finds mcnet in a checkout', async () => {
  const { code, stdout, stderr } = await runProgram('npx', ['--no-install', 'mcnet', '--version'], {
    cwd: repository,
  });
  assert.equal(code, 0, stderr);
  const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as {
    version: string;
  };
  assert.equal(stdout.trim(), version);
});

test('a server that cannot work does not start, and says why', async (t) => {
  const folder = temporaryFolder(t, 'cli');
  const models = await modelsFolder(folder);
  await writeModel(join(models, 'swapped'), Buffer.from('another network'), { sha256: '0'.repeat(64) });
  await writeModel(join(models, 'text'), Buffer.from('this is no ONNX file'));
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => taken.close());
  const address = taken.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;

  let count = 0;
  const configOf = (text: string) => {
    count += 1;
    const file = join(folder, `${count}.yaml`);
    writeFileSync(file, text);
    return file;
  };
  const good = (model: string, more = '') => {
    const rules = `rules: [{ name: all, when: { Modality: MR }, model: ${model} }]`;
    const ports = more.includes('dimse') ? 'http: { port: 0 }' : 'dimse: { port: 0 }\nhttp: { port: 0 }';
    return `data: ${join(folder, `var${count}`)}\nmodels: ${models}\n${rules}\n${ports}\n${more}\n`;
  };
  const cases: [what: string, config: string, code: number, says: RegExp][] = [
    ['missing model', good('absent'), 2, /rules\[0\]\.model: no model in .*absent/],
    ['wrong digest', good('swapped'), 2, /rules\[0\]\.model: .*SHA-256/],
    ['no ONNX', good('text', 'engine: cpu'), 1, /text.*(protobuf|Protobuf|ONNX|load)/],
    [
      'unknown engine',
      good('tiny', 'engine: abacus'),
      2,
      /engine \(line \d+\): "abacus" is not accepted; expected one of/,
    ],
    ['no such device', good('tiny', 'engine: cuda'), 1, /engine cuda: .*NVIDIA/],
    [
      'port in use',
      good('tiny', `engine: cpu\ndimse: { port: ${port} }`),
      1,
      /another program listens there/,
    ],
    ['no YAML', 'aeTitle: [MCNET', 2, /line \d+: /],
    [
      'unknown key',
      good('tiny', 'aeTtile: MCNET'),
      2,
      /aeTtile \(line \d+\): unknown key; did you mean "aeTitle"\?/,
    ],
  ];
  for (let i = 0; i < cases.length; i += 4) {
    await Promise.all(
      cases.slice(i, i + 4).map(async ([what, text, code, says]) => {
        if (what === 'no such device' && existsSync('/proc/driver/nvidia/gpus')) return;
        const finished = await mcnet(['serve', '--config', configOf(text)]);
        assert.equal(finished.code, code, `${what}: ${finished.stderr}`);
        assertSentence(finished, says);
        assert.ok(finished.stderr.split('\n').length <= 5, `${what}: ${finished.stderr}`);
      }),
    );
  }

  const checks: [config: string, code: number][] = [
    [good('tiny'), 0],
    [good('absent'), 2],
    ['destinations: { pacs: { dimse: { host: x } } }', 2],
  ];
  await Promise.all(
    checks.map(async ([text, code]) => {
      const finished = await mcnet(['check-config', configOf(text)]);
      assert.equal(finished.code, code, finished.stderr);
      if (code === 0)
        assert.match(finished.stdout, /is good: 1 rule, 2 peers, 0 destinations; model tiny 1\.0\.0/);
      else assertSentence(finished, /has (a|\d+) problem/);
    }),
  );

  const sick = configOf(
    good('tiny', 'engine: cpu\ndestinations: { gone: { dimse: { aeTitle: X, host: 127.0.0.1, port: 1 } } }'),
  );
  const diagnosis = await mcnet(['doctor', '--config', sick, '--json']);
  assert.equal(diagnosis.code, 1, diagnosis.stderr);
  const found = JSON.parse(diagnosis.stdout) as {
    healthy: boolean;
    models: {
      model: { name: string; sha256: string };
      engines: { engine: string }[];
      inference: { medianMs: number };
    }[];
    disk: { ok: boolean; freeBytes: number };
    destinations: { name: string; ok: boolean; message: string }[];
  };
  assert.equal(found.destinations[0]?.message.match(/X at 127/g)?.length, 1);
  assert.equal(found.healthy, false);
  assert.equal(found.models[0]!.model.name, 'tiny');
  assert.equal(found.models[0]!.engines.length, 5);
  assert.ok(found.models[0]!.inference.medianMs > 0);
  assert.ok(found.disk.ok && found.disk.freeBytes > 0);
  assert.deepEqual(
    found.destinations.map(({ name, ok }) => ({ name, ok })),
    [{ name: 'gone', ok: false }],
  );
  assert.match(found.destinations[0]!.message, /refused/);
});

test('correct takes the good files of a folder and says what the others are', async (t) => {
  const folder = temporaryFolder(t, 'cli');
  const env = { MCNET_MODELS: await modelsFolder(folder), MCNET_ENGINE: 'cpu' };
  const scan = join(folder, 'scan');
  const { instances } = newSeries(5);
  writeFiles(scan, [...instances.slice(0, 3), asCt(instances[3]!), asBrokenJpeg(instances[4]!)]);
  writeFileSync(join(scan, 'notes.txt'), 'no image');
  const out = join(folder, 'out');
  const mixed = await mcnet(['correct', scan, '--out', out, '--model', 'tiny', '--json'], env);
  assert.equal(mixed.code, 1, mixed.stderr);
  const summary = JSON.parse(mixed.stdout) as {
    corrected: number;
    leftAlone: number;
    failed: number;
    results: { path: string; outcome: string; reason?: string; output?: string }[];
  };
  assert.deepEqual([summary.corrected, summary.leftAlone, summary.failed], [3, 2, 1]);
  for (const { outcome, path, reason, output } of summary.results) {
    if (outcome === 'corrected') assert.ok(existsSync(output!), output);
    else assert.ok(reason!.length > 5 && !reason!.includes(path), reason);
  }
  assert.equal(
    readdirSync(out, { recursive: true }).filter((name) => String(name).endsWith('.dcm')).length,
    3,
  );

  const good = await mcnet(
    ['correct', join(scan, '1.dcm'), '--out', join(folder, 'one'), '--model', 'tiny'],
    env,
  );
  assert.equal(good.code, 0, good.stderr);
  assert.match(good.stdout, /^1 corrected, 0 left alone, 0 failed; .* slices a second on cpu/m);

  mkdirSync(join(folder, 'empty'));
  for (const path of [join(folder, 'empty'), join(folder, 'absent'), join(scan, '4.dcm')]) {
    const none = await mcnet(
      ['correct', path, '--out', join(folder, 'none'), '--model', 'tiny', '--json'],
      env,
    );
    assert.equal(none.code, 1, path);
    assert.equal((JSON.parse(none.stdout) as { corrected: number }).corrected, 0);
  }
  const unmodelled = await mcnet(['correct', scan, '--out', out, '--model', 'absent'], env);
  assert.equal(unmodelled.code, 1);
  assertSentence(unmodelled, /no model in .*absent/);
});

test('series ls, show and retry speak with a running server, and say when there is none', async (t) => {
  const folder = temporaryFolder(t, 'cli');
  const server = await startMcnet(
    t,
    folder,
    `models: ${await modelsFolder(folder)}
engine: cpu
rules: [{ name: MR, when: { Modality: MR }, model: tiny, complete: { quiet: 300ms } }]
`,
  );
  const { seriesUid, instances } = newSeries(3);
  const target = { host: '127.0.0.1', port: server.dicomPort, callingAeTitle: 'X', calledAeTitle: 'MCNET' };
  await storeInstances(target, [...instances.slice(0, 2), asBrokenJpeg(instances[2]!)].map(outgoingOf));
  const at = ['--url', server.url];
  const failed = await eventually('the series has failed', async () => {
    const { stdout, code } = await mcnet(['series', 'ls', '--json', ...at]);
    assert.equal(code, 0);
    return (JSON.parse(stdout) as SeriesView[]).find(({ state }) => state === 'failed');
  });
  assert.equal(failed.series, seriesUid);
  assert.deepEqual([failed.counts.received, failed.counts.corrected, failed.counts.failed], [3, 2, 1]);

  const list = await mcnet(['series', 'ls', ...at]);
  assert.match(list.stdout, new RegExp(`${seriesUid} +failed +3 +2`));
  const none = await mcnet(['series', 'ls', '--state', 'delivered', 'receiving', ...at]);
  assert.deepEqual([none.code, none.stdout], [0, 'no series\n']);
  const show = await mcnet(['series', 'show', seriesUid, ...at]);
  assert.equal(show.code, 1, 'a series that failed');
  assert.match(show.stdout, new RegExp(`failed +${instances[2]!.sopInstanceUid}: .+`));
  assert.equal(show.stderr, '');
  const retry = await mcnet(['series', 'retry', seriesUid, ...at]);
  assert.equal(retry.code, 0, retry.stderr);
  assert.match(retry.stdout, /^tried again: 1 instances/);
  await eventually('it has failed again', async () => {
    const { stdout } = await mcnet(['series', 'ls', '--json', '--state', 'failed', ...at]);
    return (JSON.parse(stdout) as SeriesView[]).length === 1 ? true : undefined;
  });
  const all = await mcnet(['series', 'retry', '--all-failed', ...at]);
  assert.equal(all.code, 0, all.stderr);
  assert.match(all.stdout, /^1 series tried again: 1 instances/);

  for (const command of ['show', 'retry']) {
    const unknown = await mcnet(['series', command, '1.2.3', ...at]);
    assert.equal(unknown.code, 1);
    assertSentence(unknown, /1\.2\.3/);
  }
  assert.equal(await server.kill('SIGTERM'), 0);
  const alone = await mcnet(['series', 'ls', ...at]);
  assert.equal(alone.code, 1);
  assertSentence(alone, /no server answers at .*ECONNREFUSED.*start it with "mcnet serve"/);
});
