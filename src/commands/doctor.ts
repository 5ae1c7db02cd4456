import { mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { addressOf, openDestinations } from '../composition/destinations.js';
import { distributionFindings, type Finding } from '../composition/distribution-findings.js';
import { loadConfig } from '../config/index.js';
import { diagnose } from '../inference/index.js';
import { EXIT } from './failure.js';

async function disk(data: string): Promise<Finding & { freeBytes: number }> {
  try {
    await mkdir(data, { recursive: true });
    const { bavail, bsize } = await statfs(data);
    const freeBytes = bavail * bsize;
    const message = `${data}: ${(freeBytes / 2 ** 30).toFixed(1)} GiB free, about ${Math.floor(freeBytes / 300_000)} slices of 256×256 with their corrections`;
    return { name: 'disk', ok: true, message, freeBytes };
  } catch (error) {
    return { name: 'disk', ok: false, message: (error as Error).message, freeBytes: 0 };
  }
}

/** `mcnet doctor`: what this machine can do, and what of the configuration works; 1 when something does not. */
export async function doctor(options: { config?: string; json?: boolean }): Promise<number> {
  const config = loadConfig({
    ...(options.config !== undefined && { file: options.config }),
    env: process.env,
  });
  const { inferenceThreads } = config.concurrency;
  const names = [...new Set(config.rules.flatMap(({ model }) => (model === undefined ? [] : [model])))];
  const diagnoses = [];
  for (const name of names) {
    diagnoses.push(
      await diagnose({
        modelFolder: join(config.models, name),
        engine: config.engine,
        options: inferenceThreads === 'auto' ? {} : { threads: inferenceThreads },
      }),
    );
  }
  const room = await disk(config.data);
  const destinations: Finding[] = await Promise.all(
    openDestinations(config).map(async (destination) => {
      const where = addressOf(config.destinations[destination.name]!);
      try {
        return { name: destination.name, ok: true, message: await destination.echo() };
      } catch (error) {
        return { name: destination.name, ok: false, message: `${where}: ${(error as Error).message}` };
      }
    }),
  );
  const distribution = await distributionFindings(config);
  const healthy =
    diagnoses.every((one) => one.healthy) &&
    room.ok &&
    room.freeBytes >= config.disk.low &&
    destinations.every(({ ok }) => ok) &&
    distribution.every(({ ok }) => ok);
  if (options.json) {
    console.log(JSON.stringify({ healthy, models: diagnoses, disk: room, destinations, distribution }));
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
    }
  }
  line(room.ok && room.freeBytes >= config.disk.low, 'disk', room.message);
  for (const { name, ok, message } of [...destinations, ...distribution]) line(ok, name, message);
  if (destinations.length === 0) console.log('  no destinations are configured');
  return healthy ? EXIT.ok : EXIT.failed;
}
