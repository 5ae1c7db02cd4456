import { setMaxListeners } from 'node:events';
import { SingleBar } from 'cli-progress';
import { derivationOf, openCorrector } from '../composition/models.js';
import { loadConfig } from '../config/index.js';
import { correctFiles, type FileResult } from '../correction/index.js';
import { uidFromName } from '../dicom/index.js';
import { EXIT } from './failure.js';

/** `mcnet correct`: files in, derived files out; 1 when a file failed or none was corrected. */
export async function correct(
  paths: string[],
  options: { out: string; model: string; config?: string; json?: boolean },
): Promise<number> {
  const config = loadConfig({
    ...(options.config !== undefined && { file: options.config }),
    env: process.env,
  });
  const corrector = await openCorrector(options.model, { config });
  const bar = new SingleBar({
    format: 'correcting {bar} {value}/{total} files | {eta_formatted} left',
    stream: process.stderr,
    noTTYOutput: false,
  });
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  process.once('SIGINT', () => stop.abort(new Error('interrupted; the files written so far are whole')));
  try {
    bar.start(1, 0);
    const summary = await correctFiles({
      paths,
      out: options.out,
      corrector,
      derivation: derivationOf(
        corrector.describe().model,
        config,
        uidFromName(`device\n${config.aeTitle}`),
        new Date(),
      ),
      signal: stop.signal,
      onProgress(done, total) {
        bar.setTotal(total);
        bar.update(done);
      },
    });
    bar.stop();
    if (options.json) console.log(JSON.stringify(summary));
    else {
      for (const result of summary.results) {
        if (result.outcome !== 'corrected')
          console.log(`${result.path}: ${result.outcome}: ${result.reason}`);
      }
      for (const [flag, flagged] of byFlag(summary.results)) {
        console.log(`${flagged.length === 1 ? flagged[0] : `${flagged.length} files`}: flagged: ${flag}`);
      }
      const { corrected, flagged, leftAlone, failed, seconds, frames, engine } = summary;
      console.log(
        `${corrected} corrected${flagged > 0 ? ` (${flagged} flagged)` : ''}, ${leftAlone} left alone, ${failed} failed; ${(frames / Math.max(seconds, 1e-3)).toFixed(1)} slices a second on ${engine.engine}; derived files are in ${options.out}`,
      );
    }
    return summary.failed > 0 || summary.corrected === 0 ? EXIT.failed : EXIT.ok;
  } finally {
    bar.stop();
    await corrector.close();
  }
}

/** The files of each remark of the safeguards. */
function byFlag(results: readonly FileResult[]): Map<string, string[]> {
  const files = new Map<string, string[]>();
  for (const result of results) {
    if (result.outcome !== 'corrected') continue;
    for (const flag of result.flags) files.set(flag, [...(files.get(flag) ?? []), result.path]);
  }
  return files;
}
