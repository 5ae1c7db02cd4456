/** Every file of deploy/ before the tool that it is for, or its schema. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { validate } from 'dockerfile-utils';
import { parse, parseAllDocuments } from 'yaml';
import { loadConfig } from '../../src/config/index.js';
import { CLI } from './support/mcnet.js';
import { needPrograms, runProgram } from './support/process.js';

const project = fileURLToPath(new URL('../../../', import.meta.url));
const deploy = join(project, 'deploy');
const folder = mkdtempSync(join(tmpdir(), 'mcnet-deploy-'));
after(() => rmSync(folder, { recursive: true }));
const read = (path: string) => readFileSync(join(deploy, path), 'utf8');

test('promtool: the alerts are good, and fire when and only when they should', async (t) => {
  if (!needPrograms(t, 'promtool')) return;
  const cwd = join(deploy, 'prometheus');
  const checked = await runProgram('promtool', ['check', 'rules', 'alerts.yaml'], { cwd });
  assert.equal(checked.code, 0, checked.stdout + checked.stderr);
  const tested = await runProgram('promtool', ['test', 'rules', 'alerts.test.yaml', 'weekend.test.yaml'], {
    cwd,
  });
  assert.equal(tested.code, 0, tested.stdout + tested.stderr);
  const alerts = (file: string) => [
    ...new Set([...read(file).matchAll(/alert(?:name)?: (\w+)/g)].map(([, name]) => name)),
  ];
  assert.deepEqual(
    alerts('prometheus/alerts.test.yaml').sort(),
    alerts('prometheus/alerts.yaml').sort(),
    'each has a test',
  );
});

test("promtool: the compose file's Prometheus configuration is good", async (t) => {
  if (!needPrograms(t, 'promtool')) return;
  const at = join(folder, 'prometheus.yml');
  writeFileSync(join(folder, 'token'), 'x');
  writeFileSync(
    at,
    read('compose/prometheus.yml')
      .replace('/etc/prometheus/alerts.yaml', join(deploy, 'prometheus', 'alerts.yaml'))
      .replace('/run/secrets/prometheus-token', join(folder, 'token')),
  );
  const { code, stdout, stderr } = await runProgram('promtool', ['check', 'config', at]);
  assert.equal(code, 0, stdout + stderr);
});

test('systemd-analyze: the units are good', async (t) => {
  if (!needPrograms(t, 'systemd-analyze')) return;
  const names = readdirSync(join(deploy, 'systemd'));
  assert.deepEqual(names.sort(), ['mcnet-gateway.service', 'mcnet-worker.service', 'mcnet.service']);
  const program = join(folder, 'opt', 'bin');
  mkdirSync(program, { recursive: true });
  writeFileSync(join(program, 'mcnet.js'), '#!/bin/sh\n');
  chmodSync(join(program, 'mcnet.js'), 0o755);
  for (const name of names) {
    const unit = read(`systemd/${name}`);
    // The program is not installed on the machine that checks.
    writeFileSync(join(folder, name), unit.replaceAll('/opt/mcnet/bin', program));
    const { code, stdout, stderr } = await runProgram('systemd-analyze', [
      'verify',
      '--man=no',
      join(folder, name),
    ]);
    assert.equal(code, 0, stderr);
    assert.equal(
      (stdout + stderr).replaceAll(/^.*(?:Failed to|SO_PASSCRED|Attaching egress).*$/gm, '').trim(),
      '',
      name,
    );
    const [, command] = /ExecStart=\/opt\/mcnet\/bin\/mcnet\.js (\w+) --config/.exec(unit)!;
    const help = await runProgram(process.execPath, [CLI, command!, '--help']);
    assert.equal(help.code, 0, `${name} runs mcnet ${command}`);
  }
  const broken = join(folder, 'broken.service');
  writeFileSync(broken, '[Service]\nType=exec\nExecStart=nowhere\n');
  assert.notEqual(
    (await runProgram('systemd-analyze', ['verify', '--man=no', broken])).code,
    0,
    'the check can fail',
  );
});

test('docker-compose: the compose file is good, and the configurations that it mounts load', async (t) => {
  if (!needPrograms(t, 'docker-compose')) return;
  const run = (text: string) => {
    const file = join(folder, 'compose.yaml');
    writeFileSync(file, text);
    return runProgram('docker-compose', [
      '--project-directory',
      join(deploy, 'compose'),
      '-f',
      file,
      '--profile',
      'gpu',
      'config',
    ]);
  };
  const text = read('compose/compose.yaml');
  const { code, stdout, stderr } = await run(text);
  assert.equal(code, 0, stderr);
  const { services } = parse(stdout) as { services: Record<string, { image: string; volumes?: unknown[] }> };
  assert.deepEqual(Object.keys(services).sort(), [
    'gateway',
    'gpu-worker',
    'grafana',
    'orthanc',
    'prometheus',
    'redis',
    'worker',
  ]);
  for (const [name, { image }] of Object.entries(services))
    assert.match(image, /:[\w.-]*\d/, `${name} names a version`);
  assert.notEqual(
    (await run(text.replace('restart: unless-stopped', 'restrat: x'))).code,
    0,
    'the check can fail',
  );
  for (const [, file] of text.matchAll(/- (\.\.?\/[\w./-]+):\//g)) {
    assert.ok(readdirSync(join(deploy, 'compose', file!, '..')).length > 0, file);
    readFileSync(join(deploy, 'compose', file!).replace(/grafana$/, 'grafana/clinical.json'));
  }
});

test('the configurations of compose and Kubernetes load; gateway and workers agree about rules', () => {
  const configMap = parseAllDocuments(read('kubernetes/mcnet.yaml'))
    .map((document) => document.toJS() as { kind: string; data?: Record<string, string> })
    .find(({ kind }) => kind === 'ConfigMap')!;
  const pairs = [
    [read('compose/mcnet.yaml'), read('compose/worker.yaml')],
    [configMap.data!['gateway.yaml']!, configMap.data!['worker.yaml']!],
  ];
  for (const texts of pairs) {
    const warnings: string[] = [];
    const [gateway, worker] = texts.map((text, i) => {
      const file = join(folder, `config-${i}.yaml`);
      writeFileSync(file, text);
      return loadConfig({ file, onWarning: (message) => warnings.push(message) });
    });
    const corrected = ({ rules }: NonNullable<typeof gateway>) =>
      rules.map(({ when, model }) => ({ when, model }));
    assert.deepEqual(corrected(gateway!), corrected(worker!));
    assert.equal(gateway!.queue, worker!.queue);
    assert.ok(gateway!.access && worker!.access);
    assert.deepEqual(
      warnings.filter((message) => !/unencrypted|nobody else may send/.test(message)),
      [],
    );
  }
});

test('Dockerfiles: no problem is known to their language server, and what they copy is there', () => {
  for (const name of ['Dockerfile', 'Dockerfile.cuda']) {
    const text = read(`docker/${name}`);
    assert.deepEqual(
      validate(text).map(({ message, range }) => `${range.start.line + 1}: ${message}`),
      [],
      name,
    );
    for (const [, path] of text.matchAll(/^COPY --from=build \/opt\/mcnet\/(\S+)/gm)) {
      assert.ok(readdirSync(join(project, path!, '..')).includes(path!.split('/').at(-1)!), path);
    }
    assert.match(text, /^USER mcnet$/m);
  }
  assert.notEqual(validate('FORM x\n').length, 0, 'the check can fail');
});

/** Whether a pattern of .dockerignore leaves a path out: a path, or a name at any depth. */
function leftOut(patterns: readonly string[], path: string): boolean {
  const parts = path.split('/');
  return patterns.some((pattern) => {
    if (!pattern.startsWith('**/')) return path === pattern || path.startsWith(`${pattern}/`);
    const name = pattern.slice(3);
    return parts.some((part) => (name.startsWith('*') ? part.endsWith(name.slice(1)) : part === name));
  });
}

test('.dockerignore: what the build of the images compiles imports nothing that is left out; no secret goes in', () => {
  const patterns = readFileSync(join(project, '.dockerignore'), 'utf8').trim().split('\n');
  const importsOf = (ignored: readonly string[]) =>
    ['src', 'training', 'demo', 'test'].flatMap((folder) =>
      readdirSync(join(project, folder), { recursive: true, encoding: 'utf8' })
        .map((path) => join(folder, path))
        .filter((path) => /\.tsx?$/.test(path) && !leftOut(ignored, path))
        .flatMap((path) =>
          [...readFileSync(join(project, path), 'utf8').matchAll(/(?:from|import\() ?'(\.[^']+)'/g)].map(
            ([, to]) => ({ path, to: join(path, '..', to!) }),
          ),
        )
        .filter(({ to }) => leftOut(ignored, to)),
    );
  assert.deepEqual(importsOf(patterns), []);
  assert.notDeepEqual(importsOf(patterns.filter((pattern) => pattern !== 'training/test')), []);
  for (const path of ['deploy/compose/secrets/worker-token', 'var/mcnet.sqlite', 'bin/node_modules/x'])
    assert.ok(leftOut(patterns, path), path);
});

interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string };
}

test('Kubernetes: every manifest has the form of its kind, no key is unknown, and what they name is there', async () => {
  const manifests = parseAllDocuments(read('kubernetes/mcnet.yaml')).map((document) => {
    assert.deepEqual(document.errors, []);
    return document.toJS() as Manifest;
  });
  assert.ok(manifests.length >= 10);
  const require = createRequire(import.meta.url);
  const models = (apiVersion: string) =>
    require(`kubernetes-models/${apiVersion}`) as Record<string, new (of: unknown) => { validate(): void }>;
  const typed = [];
  for (const manifest of manifests) {
    const Model = models(manifest.apiVersion)[manifest.kind];
    assert.ok(Model, `${manifest.apiVersion} ${manifest.kind}`);
    assert.doesNotThrow(() => new Model(manifest).validate(), manifest.metadata.name);
    assert.equal(manifest.metadata.namespace, 'mcnet');
    typed.push(manifest);
  }
  // The schemas let unknown keys pass; the compiler does not.
  const source = (of: readonly Manifest[]) =>
    of
      .map(
        ({ apiVersion, kind, ...rest }, i) =>
          `import type { I${kind} as T${i} } from 'kubernetes-models/${apiVersion}';\nexport const m${i}: T${i} = ${JSON.stringify({ apiVersion, kind, ...rest })};`,
      )
      .join('\n');
  const check = async (of: readonly Manifest[]) => {
    // Where the compiler finds the packages.
    const at = join(project, 'dist', `kubernetes-${process.pid}`);
    mkdirSync(at, { recursive: true });
    try {
      writeFileSync(join(at, 'manifests.ts'), source(of));
      const options = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--types', 'node'];
      const tsc = join(project, 'node_modules', '.bin', 'tsc');
      return await runProgram(tsc, ['--ignoreConfig', ...options, join(at, 'manifests.ts')], { cwd: at });
    } finally {
      rmSync(at, { recursive: true });
    }
  };
  const { code, stdout } = await check(typed);
  assert.equal(code, 0, stdout);
  const text = JSON.stringify(typed).replace('"livenessProbe"', '"livenessprobe"');
  const wrong = await check(JSON.parse(text) as Manifest[]);
  assert.match(wrong.stdout, /livenessprobe/, 'the check can fail');

  const all = JSON.stringify(typed);
  for (const kind of ['startupProbe', 'livenessProbe', 'readinessProbe', '"nvidia.com/gpu":1'])
    assert.ok(all.includes(kind));
  const names = new Set(manifests.map(({ kind, metadata }) => `${kind}/${metadata.name}`));
  for (const [, name] of all.matchAll(/redis:\/\/([\w-]+):6379|http:\/\/([\w-]+):8090/g)) {
    if (name) assert.ok(names.has(`Service/${name}`), name);
  }
});

test('Grafana and Orthanc: their files are what they read', () => {
  const { datasources } = parse(read('compose/grafana/datasource.yaml')) as {
    datasources: { type: string }[];
  };
  assert.equal(datasources[0]?.type, 'prometheus');
  const orthanc = JSON.parse(read('compose/orthanc.json')) as { DicomModalities: Record<string, unknown[]> };
  assert.deepEqual(orthanc.DicomModalities.mcnet, ['MCNET', 'gateway', 11112]);
});

test('operations.md names files that are there', () => {
  for (const [, path] of read('operations.md').matchAll(/\]\(([\w./-]+)\)/g)) {
    assert.ok(
      readdirSync(join(deploy, path!, '..')).includes(path!.replace(/\/$/, '').split('/').at(-1)!),
      path,
    );
  }
});
