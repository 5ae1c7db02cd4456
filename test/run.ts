/**
 * Runs the compiled tests under the folders given (default: every fast test) with Node's own runner.
 * `--forbid-skip` turns a skipped test into a failure: CI has every peer installed, so nothing may skip there.
 */
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const project = fileURLToPath(new URL('../..', import.meta.url));
const args = process.argv.slice(2);
const forbidSkip = args.includes('--forbid-skip');
const folders = args.filter((arg) => !arg.startsWith('--'));
const chosen = folders.length > 0 ? folders : ['test/unit', 'test/peers', 'training/test'];

const files = chosen.flatMap((folder) =>
  folder.endsWith('.test.ts')
    ? [folder]
    : readdirSync(join(project, folder), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.test.ts'))
        .map((name) => join(folder, name)),
);
if (files.length === 0) {
  console.error(`no *.test.ts under ${chosen.join(', ')}`);
  process.exit(1);
}

/** A file that takes longer waits for something that will not come. The longest takes under three minutes. */
const FILE_MS = 12 * 60_000;

let failed = 0;
let skipped = 0;
const stream = run({
  files: files.sort().map((file) => join(project, 'dist', file.replace(/\.ts$/, '.js'))),
  concurrency: availableParallelism(),
  timeout: FILE_MS,
});
stream.on('test:fail', () => {
  failed += 1;
});
stream.on('test:pass', (event) => {
  if (event.skip !== undefined) skipped += 1;
});
stream.compose(new spec()).pipe(process.stdout);
await finished(stream.resume());
if (failed > 0) process.exitCode = 1;
if (forbidSkip && skipped > 0) {
  console.error(`${skipped} test(s) were skipped, and --forbid-skip was given`);
  process.exitCode = 1;
}
