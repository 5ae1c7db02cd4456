import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const CLI = fileURLToPath(new URL('../../../src/cli.js', import.meta.url));
const MODEL = join(ROOT, 'models/mcnet/model.onnx');
/** What ONNX Runtime's reporting leaves behind: its log, its queue and its identifier. */
const TRACES = /mat-debug|onnxruntime\.db|deviceid/;

/** Runs Node with a home and a temporary folder of its own, outside CI (where the library keeps quiet by itself). */
function tracesOf(args: readonly string[]): string[] {
  const home = mkdtempSync(join(tmpdir(), 'mcnet-home-'));
  try {
    const { CI, ORT_DISABLE_TELEMETRY, ...rest } = process.env;
    const env = { ...rest, HOME: home, TMPDIR: home, XDG_CACHE_HOME: join(home, '.cache') };
    execFileSync(process.execPath, [...args], { cwd: home, env, stdio: 'pipe' });
    return readdirSync(home, { recursive: true, encoding: 'utf8' }).filter((path) => TRACES.test(path));
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

test('a network is loaded and run without a report to the runtime’s maker', () => {
  assert.deepEqual(tracesOf([CLI, 'doctor']), []);
  const session = fileURLToPath(new URL('../../../training/evaluate/model.js', import.meta.url));
  const load = `const { InferenceSession } = await import(${JSON.stringify(fileURLToPath(new URL('../../../src/inference/onnxruntime.js', import.meta.url)))});
await import(${JSON.stringify(session)});
await (await InferenceSession.create(${JSON.stringify(MODEL)})).release();`;
  assert.deepEqual(tracesOf(['--input-type=module', '--eval', load]), []);
});

test('the library by itself would report: the check sees it', { skip: process.platform !== 'linux' }, () => {
  const library = createRequire(import.meta.url).resolve('onnxruntime-node');
  const load = `const { InferenceSession } = await import(${JSON.stringify(library)});
await (await InferenceSession.create(${JSON.stringify(MODEL)})).release();`;
  assert.notDeepEqual(tracesOf(['--input-type=module', '--eval', load]), []);
});

test('one module loads ONNX Runtime', () => {
  const sources = ['src', 'training', 'demo', 'test'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => join(folder, path)),
  );
  const loading = sources.filter((path) =>
    /(from|import\(|require\()\s*'onnxruntime-node'/.test(readFileSync(join(ROOT, path), 'utf8')),
  );
  assert.deepEqual(loading, ['src/inference/onnxruntime.ts']);
});
