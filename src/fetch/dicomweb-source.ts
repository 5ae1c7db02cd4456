/** A source that is asked by QIDO-RS and sends by WADO-RS. */
import { type Attributes, type DicomWebSource, echo, retrieveSeries, search } from '../dicomweb/index.js';
import type { Intake } from '../intake/index.js';
import { FetchError, type Match, type Source } from './source.js';

export interface DicomWebSourceOptions {
  name: string;
  target: DicomWebSource;
  parallel: number;
  intake: Pick<Intake, 'beginFile'>;
}

function matchOf(attributes: Attributes): Match {
  return { values: (keyword) => attributes.get(keyword) ?? [] };
}

export function dicomWebSource({ name, target, parallel, intake }: DicomWebSourceOptions): Source {
  const address = new URL(target.url).host;

  /** Archives one object; what the archive refuses does not keep the others from coming. */
  async function take(file: AsyncIterable<Buffer>, study: string): Promise<string | undefined> {
    const incoming = intake.beginFile({ source: { protocol: 'dicomweb', peer: name, address }, study });
    let refusal: string | undefined;
    try {
      for await (const chunk of file) {
        if (refusal !== undefined) continue;
        await incoming.write(chunk).catch((error: Error) => {
          refusal = error.message;
        });
      }
    } catch (error) {
      await incoming.abort();
      throw error;
    }
    if (refusal !== undefined) {
      await incoming.abort({ code: 'io', message: refusal });
      return refusal;
    }
    return incoming.commit().then(
      () => undefined,
      (error: Error) => error.message,
    );
  }

  return {
    name,
    parallel,
    async find(level, keys, signal) {
      const study = keys.get('StudyInstanceUID');
      const within = level === 'SERIES' && study !== undefined && study !== '';
      const path = level === 'STUDY' ? '/studies' : within ? `/studies/${study}/series` : '/series';
      const asked = new Map([...keys].filter(([keyword]) => !(within && keyword === 'StudyInstanceUID')));
      const unique = level === 'STUDY' ? 'StudyInstanceUID' : 'SeriesInstanceUID';
      const found = await search(target, path, asked, unique, signal === undefined ? {} : { signal });
      // A service leaves out of the answer what its path says.
      return found.map((attributes) =>
        within ? matchOf(new Map([['StudyInstanceUID', [study]], ...attributes])) : matchOf(attributes),
      );
    },
    async retrieve({ study, series }, signal) {
      const refusals: string[] = [];
      const count = await retrieveSeries(
        target,
        study,
        series,
        async (file) => {
          const refusal = await take(file, study);
          if (refusal !== undefined) refusals.push(refusal);
        },
        { signal },
      );
      if (refusals.length > 0)
        throw new FetchError(`${refusals.length} of ${count} objects were not kept: ${refusals[0]}`, true);
    },
    echo: () => echo(target),
  };
}
