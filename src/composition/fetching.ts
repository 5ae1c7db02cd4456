/** Sources and pull rules of the configuration, over the pipeline. */
import type { Config } from '../config/index.js';
import {
  createFetching,
  createPulling,
  dicomWebSource,
  dimseSource,
  type Fetching,
  type Pulling,
  type Source,
} from '../fetch/index.js';
import type { Intake } from '../intake/index.js';
import type { Pipeline } from '../pipeline/index.js';
import type { Logger } from '../telemetry/index.js';
import { dimseTarget } from './addresses.js';
import { storeInto } from './store.js';

type Asking = Pick<Config, 'aeTitle' | 'dimse' | 'sources' | 'limits'>;

/** The configured sources, ready to be asked. */
export function openSources(config: Asking, intake: Pick<Intake, 'beginDataSet' | 'beginFile'>): Source[] {
  return Object.entries(config.sources).map(([name, { dimse, dicomweb, parallel }]) => {
    if (dimse !== undefined) {
      const { moveDestination = config.aeTitle } = dimse;
      const store = storeInto(intake, config.limits.instanceBytes);
      return dimseSource({
        name,
        target: () => dimseTarget(dimse, config),
        parallel,
        retrieve:
          dimse.retrieve === 'move'
            ? { move: moveDestination }
            : // On our own association we are the caller; who sends is the one that was called.
              { get: (request) => store({ ...request, callingAeTitle: dimse.aeTitle }) },
      });
    }
    const { url, headers, timeout } = dicomweb!;
    return dicomWebSource({ name, target: { url, headers, timeoutMs: timeout }, parallel, intake });
  });
}

/** What fetches, and what asks for it by rule. */
export function openFetching(
  config: Asking & Pick<Config, 'pull' | 'retry'>,
  { archive, queue, intake }: Pick<Pipeline, 'archive' | 'queue' | 'intake'>,
  logger: Logger,
): { fetching: Fetching; pulling: Pulling } {
  const fetching = createFetching({
    archive,
    queue,
    sources: openSources(config, intake),
    retry: { baseMs: config.retry.first, capMs: config.retry.max },
    onEnd({ source, study, series, state, received, expected, message }) {
      const about = { source, study, series, received, expected };
      if (state === 'fetched') logger.info(about, 'series fetched');
      else logger.error({ ...about, reason: message }, 'a series could not be fetched');
    },
  });
  const pulling = createPulling({
    archive,
    fetching,
    rules: config.pull,
    onProblem: ({ name, source }, reason) =>
      logger.warn({ rule: name, source, reason }, 'a source could not be asked'),
  });
  return { fetching, pulling };
}
