import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { ConfigError, configSchema, keyPaths, loadConfig } from '../../../src/config/index.js';

const folder = mkdtempSync(join(tmpdir(), 'mcnet-config-'));
after(() => rmSync(folder, { recursive: true }));
const example = fileURLToPath(new URL('../../../../deploy/mcnet.example.yaml', import.meta.url));

function load(yaml: string, env: Record<string, string> = {}, warnings: string[] = []) {
  const file = join(folder, 'mcnet.yaml');
  writeFileSync(file, yaml);
  return loadConfig({ file, env, onWarning: (message) => warnings.push(message) });
}

function problems(yaml: string, env: Record<string, string> = {}): readonly string[] {
  try {
    load(yaml, env);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  throw new Error('the configuration was accepted');
}

test('no file: loopback only, senders from loopback only, data in ./var', () => {
  const config = loadConfig();
  assert.equal(config.dimse.host, '127.0.0.1');
  assert.equal(config.http.host, '127.0.0.1');
  assert.deepEqual(config.peers, [
    { aeTitle: '*', host: '127.0.0.1' },
    { aeTitle: '*', host: '::1' },
  ]);
  assert.equal(config.data, resolve('var'));
  assert.deepEqual(config.rules[0]?.when, { Modality: ['MR'], BodyPartExamined: ['BRAIN', 'HEAD'] });
  assert.equal(config.rules[0]?.complete.quiet, 5000);
  assert.equal(config.rules[0]?.model, 'mcnet');
  assert.deepEqual(config.rules[0]?.to, []);
});

test('the example loads', () => {
  const config = loadConfig({ file: example });
  assert.deepEqual(config.destinations.pacs, {
    dimse: {
      aeTitle: 'PACS',
      host: '127.0.0.1',
      port: 4242,
      callingAeTitle: 'MCNET',
      commitment: 'off',
      commitmentTimeout: 600_000,
      timeout: 120_000,
      tls: {
        key: '/etc/mcnet/tls/mcnet.key',
        cert: '/etc/mcnet/tls/mcnet.pem',
        ca: '/etc/mcnet/tls/hospital-ca.pem',
        serverName: 'pacs.hospital.example',
      },
    },
  });
  assert.equal(config.dimse.tls?.port, 2762);
  assert.equal(config.destinations.vna?.dicomweb?.timeout, 60_000);
  assert.equal(config.limits.instanceBytes, 4 * 2 ** 30);
});

test('the example shows every key of the schema, and each default that it states is the default', () => {
  const shown: unknown = parse(readFileSync(example, 'utf8'));
  const has = (value: unknown, segments: string[]): boolean => {
    const [first, ...rest] = segments;
    if (first === undefined) return value !== undefined;
    if (typeof value !== 'object' || value === null) return false;
    if (first === '*' || first === '[]') return Object.values(value).some((each) => has(each, rest));
    return has((value as Record<string, unknown>)[first], rest);
  };
  const missing = keyPaths(configSchema).filter(
    (path) => !has(shown, path.replaceAll('[]', '.[]').split('.')),
  );
  assert.deepEqual(missing, []);
  const config = loadConfig({ file: example });
  const defaults = loadConfig();
  for (const key of ['aeTitle', 'data', 'queue', 'engine', 'duplicates', 'seriesNumber', 'batch'] as const) {
    assert.deepEqual(config[key], defaults[key], key);
  }
  for (const key of ['concurrency', 'retry', 'limits', 'disk', 'log'] as const) {
    assert.deepEqual(config[key], defaults[key], key);
  }
  assert.deepEqual(config.rules[0]?.complete, defaults.rules[0]?.complete);
  const { tls, ...listener } = config.dimse;
  assert.deepEqual(listener, defaults.dimse);
  assert.equal(tls?.clientCertificates, 'required');
});

test('sources and pull rules: what they name must be there', () => {
  const config = load(`
sources:
  pacs: { dimse: { aeTitle: PACS, host: 10.0.0.5, port: 104 } }
pull:
  - { name: a, source: pacs, query: { Modality: MR } }
`);
  assert.deepEqual(config.sources.pacs, {
    dimse: { aeTitle: 'PACS', host: '10.0.0.5', port: 104, retrieve: 'move' },
    parallel: 1,
  });
  assert.deepEqual(config.pull, [
    { name: 'a', source: 'pacs', every: 600_000, days: 1, query: { Modality: ['MR'] } },
  ]);
  const warnings: string[] = [];
  load(
    'peers: [{ aeTitle: A, host: 10.0.0.6 }]\nsources: { pacs: { dimse: { aeTitle: PACS, host: 10.0.0.5, port: 104 } } }',
    {},
    warnings,
  );
  assert.match(warnings[0]!, /sources\.pacs .* PACS is not among peers/);
  const wrong = problems(`
sources: { pacs: {} }
pull:
  - { name: a, source: pasc, query: { Modality: MR } }
  - { name: a, source: pacs }
`);
  assert.match(wrong.join('\n'), /sources\.pacs .*exactly one of dimse and dicomweb/);
  assert.match(wrong.join('\n'), /pull\[0\]\.source .*"pasc" is not a source; did you mean "pacs"/);
  assert.match(wrong.join('\n'), /pull\[1\]\.name .*already the name of pull\[0\]/);
  assert.match(wrong.join('\n'), /pull\[1\]\.query .*is missing/);
});

test('TLS: what is missing is named', () => {
  const of = (tls: string) => problems(`dimse: { tls: ${tls} }`);
  assert.match(of('{ key: a }')[0]!, /^dimse\.tls\.cert.*is missing; expected the name of a PEM file/);
  assert.match(of('{ key: a, cert: b }')[0]!, /^dimse\.tls\.ca.*client certificates/);
  assert.deepEqual(load('dimse: { tls: { key: a, cert: b, clientCertificates: none } }').dimse.tls, {
    key: 'a',
    cert: 'b',
    clientCertificates: 'none',
  });
  const destination = (tls: string) =>
    problems(`destinations: { pacs: { dimse: { aeTitle: A, host: b, port: 1, tls: ${tls} } } }`);
  assert.match(destination('{ key: a }')[0]!, /^destinations\.pacs\.dimse\.tls.*key and cert together/);
});

test('the contract of keys: the configuration of the specification loads as written', () => {
  const config = load(`
aeTitle: MCNET
data: ./var
dimse: { host: 127.0.0.1, port: 11112 }
http:  { host: 127.0.0.1, port: 8080 }
queue: redis://127.0.0.1:6379
engine: cuda
peers:
  - { aeTitle: PACS, host: 127.0.0.1 }
destinations:
  pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: 4242 } }
  vna:  { dicomweb: { url: "http://127.0.0.1:8042/dicom-web" } }
rules:
  - name: brain T1
    when: { Modality: MR, BodyPartExamined: [BRAIN, HEAD] }
    model: mcnet
    to: [pacs]
    complete: { quiet: 5s, maxAge: 10m }
`);
  assert.deepEqual(config.rules[0], {
    name: 'brain T1',
    when: { Modality: ['MR'], BodyPartExamined: ['BRAIN', 'HEAD'] },
    model: 'mcnet',
    to: ['pacs'],
    priority: 0,
    deliver: 'series',
    hold: 'no',
    safeguards: { maxResidual: 0.05, domain: 'check', onFlag: 'deliver' },
    complete: { quiet: 5000, maxAge: 600_000 },
  });
});

test('every problem is reported at once, with key, line, value and what was expected', () => {
  assert.deepEqual(
    problems(`aeTitle: THIS-TITLE-IS-TOO-LONG
http: { port: 99999 }
dimse: { prot: 104 }
engine: gpu
destinations:
  pacs: { dimse: { aeTitle: PACS, host: 127.0.0.1 } }
  both: {}
rules:
  - name: brain
    model: mcnet
    to: [pasc]
    complete: { quiet: soon }
extra: 1
`),
    [
      'aeTitle (line 1): "THIS-TITLE-IS-TOO-LONG" is not accepted; expected an AE title: 1 to 16 printable ASCII characters without backslash',
      'dimse.prot (line 3): unknown key; did you mean "port"?',
      'http.port (line 2): 99999 is not accepted; expected a TCP port (0: any free one), a whole number from 0 to 65535',
      'engine (line 4): "gpu" is not accepted; expected one of auto, tensorrt, cuda, webgpu, cpu, tensorflow',
      'destinations.pacs.dimse.port (line 6): is missing; expected a TCP port, a whole number from 1 to 65535',
      'destinations.both (line 7): {} is not accepted; expected exactly one of dimse and dicomweb',
      'rules[0].complete.quiet (line 12): "soon" is not accepted; expected a duration such as 500ms, 5s, 10m, 2h or 7d',
      'extra (line 13): unknown key; known keys: aeTitle, data, models, dimse, http, access, audit, queue, redis, distribution, engine, precision, peers, destinations, sources, pull, rules, duplicates, seriesNumber, batch, concurrency, retry, limits, disk, retention, quotas, page, log',
      'rules[0].to[0] (line 11): "pasc" is not a destination; did you mean "pacs"?',
    ],
  );
});

test('a value of the wrong shape is named with the keys that belong there', () => {
  assert.deepEqual(problems('http: 8080\n'), [
    'http (line 1): 8080 is not accepted; expected a mapping with the keys host, port, tls, allowedHosts, cors',
  ]);
});

test('secrets in headers are not repeated in messages', () => {
  const found = problems(
    'destinations: { vna: { dicomweb: { url: "http://h/dw", headers: { Authorization: "Bearer s3cret\\nX: y" } } } }',
  );
  assert.equal(found.length, 1);
  assert.match(found[0]!, /^destinations\.vna\.dicomweb\.headers\.Authorization .*expected a header value/);
  assert.doesNotMatch(found[0]!, /s3cret/);
});

test('broken YAML and a missing file are sentences', () => {
  assert.match(problems('http: { port: 1\nqueue: x: y\n')[0]!, /^line \d+: /);
  assert.match(problems('a: [\n b')[0]!, /^line 2: Flow sequence .* end with a \]$/);
  assert.throws(
    () => loadConfig({ file: join(folder, 'none.yaml') }),
    /none\.yaml.*\n.*there is no such file/,
  );
});

test('http beyond loopback is refused until it is said who may use it', () => {
  assert.match(problems('http: { host: 0.0.0.0 }')[0]!, /^http\.host \(line 1\): "0\.0\.0\.0" is reachable/);
  assert.match(problems('http: { host: "::" }')[0]!, /expected a loopback address, or access with users/);
  assert.match(problems('http: { host: "::" }\naccess: {}').join(), /at least one of users, tokens/);
  const access = 'access: { users: users.json }';
  assert.equal(load(`http: { host: 0.0.0.0 }\n${access}`).http.host, '0.0.0.0');
  const warnings: string[] = [];
  load(`http: { host: 0.0.0.0 }\n${access}`, {}, warnings);
  assert.match(warnings.join(), /travel unencrypted/);
  assert.equal(load('http: { host: "::1" }').http.host, '::1');
  assert.match(problems('', { MCNET_HTTP__HOST: '0.0.0.0' })[0]!, /reachable from other machines/);
});

test('two rules of one name are refused', () => {
  const found = problems('rules: [{ name: a, model: m }, { name: a, model: m }]');
  assert.match(found[0]!, /^rules\[1\]\.name .*already the name of rules\[0\]/);
});

test('the reserve of the disk is below its first watermark; a quota limits something', () => {
  assert.deepEqual(problems('disk: { low: 1GiB, critical: 2GiB }'), [
    'disk.low (line 1): "1GiB" is not accepted; expected at least as many bytes as disk.critical',
  ]);
  assert.deepEqual(problems('quotas: [{ source: PACS }]'), [
    'quotas[0] (line 1): {"source":"PACS"} is not accepted; expected instances, bytes, or both',
  ]);
  assert.equal(load('retention: { age: 30d, space: 1TB }').retention.age, 30 * 86_400_000);
});

test('priorities have names; secrets of the distribution are not repeated in messages', () => {
  const config = load(
    'rules: [{ name: a, priority: stat }, { name: b, priority: routine }, { name: c, priority: -5 }]',
  );
  assert.deepEqual(
    config.rules.map(({ priority }) => priority),
    [100, 0, -5],
  );
  const found = problems(
    'queue: "http://:s3cret@h"\ndistribution: { token: s3cret }\nrules: [{ name: a, priority: urgent }]',
  );
  assert.equal(found.length, 3);
  for (const one of found) assert.doesNotMatch(one, /s3cret/);
  assert.match(found[2]!, /expected stat, routine, or a whole number from -100 to 100/);
});

test('a port that this process would take from itself is named with the key that has it', () => {
  assert.deepEqual(problems('http: { port: 11112 }'), [
    'http.port (line 1): 11112 is already dimse.port; expected a port of its own',
  ]);
  assert.match(
    problems('dimse: { host: 0.0.0.0, port: 8080 }')[0]!,
    /^http\.port: 8080 is already dimse\.port/,
  );
  assert.match(
    problems('distribution: { listen: { port: 8080 } }')[0]!,
    /^distribution\.listen\.port \(line 1\): 8080 is already http\.port/,
  );
  assert.equal(load('http: { port: 8090 }').http.port, 8090);
  assert.equal(load('dimse: { port: 0 }\nhttp: { port: 0 }').http.port, 0);
  assert.equal(load('dimse: { host: 10.0.0.1, port: 8080 }').dimse.port, 8080);
});

test('a Redis address names a server', () => {
  for (const address of ['redis:/queue', 'redis://', 'rediss:///0'])
    assert.match(
      problems(`queue: "${address}"`)[0]!,
      /^queue \(line 1\): .*expected embedded, or the address/,
    );
  assert.equal(load('queue: redis://localhost/2').queue, 'redis://localhost/2');
});
