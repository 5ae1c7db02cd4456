import { access, constants, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { checkKeywords } from '../composition/check-keywords.js';
import { addressOf, openDestinations } from '../composition/destinations.js';
import { distributionFindings, type Finding } from '../composition/distribution-findings.js';
import { openSources } from '../composition/fetching.js';
import { checkTls } from '../composition/tls.js';
import { loadConfig } from '../config/index.js';
import { diagnose } from '../inference/index.js';
import { EXIT } from './failure.js';

/** Leaves nothing behind: who asks may not be who serves, and the folder would be theirs. */
async function disk(data: string): Promise<Finding & { freeBytes: number }> {
  try {
    const folder = await nearest(data);
    await access(folder, constants.W_OK);
    const { bavail, bsize } = await statfs(folder);
    const freeBytes = bavail * bsize;
    const missing = folder === data ? '' : ' (not there yet)';
    const message = `${data}${missing}: ${(freeBytes / 2 ** 30).toFixed(1)} GiB free, about ${Math.floor(freeBytes / 300_000)} slices of 256×256 with their corrections`;
    return { name: 'disk', ok: true, message, freeBytes };
  } catch (error) {
    return { name: 'disk', ok: false, message: (error as Error).message, freeBytes: 0 };
  }
}

/** The folder, or the nearest one above it that is there. */
async function nearest(folder: string): Promise<string> {
  try {
    if (!(await stat(folder)).isDirectory()) throw new Error(`${folder} is no folder`);
    return folder;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return nearest(dirname(folder));
  }
}

/** Asks each whether it answers. */
function echoes(
  nodes: readonly { name: string; echo(): Promise<string> }[],
  addressOf: (name: string) => string,
): Promise<Finding[]> {
  return Promise.all(
    nodes.map(async ({ name, echo }) => {
      try {
        return { name, ok: true, message: await echo() };
      } catch (error) {
        const { message } = error as Error;
        const address = addressOf(name);
        return { name, ok: false, message: message.startsWith(address) ? message : `${address}: ${message}` };
      }
    }),
  );
}

/** Nothing is fetched here. */
const unused = () => {
  throw new Error('the doctor stores nothing');
};
const nowhere = { beginDataSet: unused, beginFile: unused };

/** `mcnet doctor`: what this machine can do, and what of the configuration works; 1 when something does not. */
export async function doctor(options: { config?: string; json?: boolean }): Promise<number> {
  const config = loadConfig({
    ...(options.config !== undefined && { file: options.config }),
    env: process.env,
  });
  for (const warning of checkTls(config)) console.error(`warning: ${warning}`);
  checkKeywords(config);
  const { inferenceThreads } = config.concurrency;
  const names = [...new Set(config.rules.flatMap(({ model }) => (model === undefined ? [] : [model])))];
  const diagnoses = [];
  for (const name of names) {
    diagnoses.push(
      await diagnose({
        modelFolder: join(config.models, name),
        engine: config.engine,
        options: {
          precision: config.precision,
          ...(inferenceThreads === 'auto' ? {} : { threads: inferenceThreads }),
        },
      }),
    );
  }
  const room = await disk(config.data);
  const destinations = await echoes(openDestinations(config), (name) =>
    addressOf(config.destinations[name]!),
  );
  const sources = await echoes(openSources(config, nowhere), (name) => addressOf(config.sources[name]!));
  const distribution = await distributionFindings(config);
  const healthy =
    diagnoses.every((one) => one.healthy) &&
    room.ok &&
    room.freeBytes >= config.disk.low &&
    [...destinations, ...sources, ...distribution].every(({ ok }) => ok);
  if (options.json) {
    console.log(
      JSON.stringify({ healthy, models: diagnoses, disk: room, destinations, sources, distribution }),
    );
    return healthy ? EXIT.ok : EXIT.failed;
  }
  const line = (ok: boolean, what: string, message: string) =>
    console.log(`${ok ? '✓' : '✗'} ${what.padEnd(14)} ${message}`);
  for (const { model, engines, devices, inference } of diagnoses) {
    if ('problem' in model) line(false, 'model', model.problem);
    else line(true, 'model', `${model.name} ${model.version} (${model.folder}), sha256 ${model.sha256}`);
    line(true, 'devices', devices.join(', ') || 'no GPU was found');
    for (const { engine, usable, problem } of engines) {
      if (usable) line(true, `engine ${engine}`, 'usable');
      else console.log(`  ${`engine ${engine}`.padEnd(14)} not usable here: ${problem}`);
    }
    if (inference === undefined) continue;
    if ('problem' in inference) line(false, 'inference', inference.problem);
    else {
      const { rows, columns, medianMs, slowestMs, engine } = inference;
      line(
        true,
        'inference',
        `${rows}×${columns} in ${medianMs.toFixed(1)} ms (slowest ${slowestMs.toFixed(1)}) on ${engine.engine}, ${engine.device}`,
      );
      if (engine.precision)
        line(true, 'precision', `${engine.precision.precision}: ${engine.precision.reason}`);
    }
  }
  line(room.ok && room.freeBytes >= config.disk.low, 'disk', room.message);
  for (const { name, ok, message } of [...destinations, ...sources, ...distribution]) line(ok, name, message);
  if (destinations.length === 0) console.log('  no destinations are configured');
  return healthy ? EXIT.ok : EXIT.failed;
}
