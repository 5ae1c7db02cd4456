/** `npm run bench -- NAME [--json] [arguments of the benchmark]`: with --json the last line is one JSON object. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Bench, type BenchResult, thisMachine } from './result.js';

const folder = fileURLToPath(new URL('.', import.meta.url));
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.bench.js'))
  .map((name) => name.slice(0, -'.bench.js'.length))
  .sort();

const [name, ...rest] = process.argv.slice(2).filter((arg) => arg !== '--json');
const json = process.argv.includes('--json');
if (name === undefined || !names.includes(name)) {
  console.error(`usage: npm run bench -- NAME [--json]\nbenchmarks: ${names.join(', ')}`);
  process.exit(2);
}
try {
  const { bench } = (await import(pathToFileURL(join(folder, `${name}.bench.js`)).href)) as { bench: Bench };
  const found = await bench({ args: rest, log: (line) => console.log(line) });
  const result: BenchResult = { bench: name, machine: thisMachine(), ...found };
  for (const [ratio, value] of Object.entries(result.ratios)) console.log(`${ratio}: ${value.toFixed(3)}`);
  if (json) console.log(JSON.stringify(result));
} catch (error) {
  console.error(`bench ${name}: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
