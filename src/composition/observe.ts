import type { PipelineEmitter } from '../series/index.js';
import type { Logger, Metrics } from '../telemetry/index.js';

/** Turns what happens in the pipeline into metrics and log lines: UIDs and figures only. */
export function observe(events: PipelineEmitter, metrics: Metrics, logger: Logger): void {
  events.on('received', ({ instance, source, outcome, bytes, ms }) => {
    const { protocol, peer } = source;
    metrics.received({ source: peer, protocol, outcome, bytes });
    logger.debug({ sop: instance.sop, series: instance.series, outcome, bytes, ms }, 'instance received');
    if (outcome !== 'duplicate' && instance.state === 'left-alone') metrics.correctionEnded('left-alone');
  });
  events.on('rejected', ({ source, code, message, bytes, sop, series, study }) => {
    metrics.received({ source: source.peer, protocol: source.protocol, outcome: 'rejected', bytes });
    logger.warn({ peer: source.peer, code, study, series, sop, reason: message }, 'instance rejected');
  });
  events.on('corrected', ({ source, latencyMs, ms, flags }) => {
    metrics.decoded((ms.read ?? 0) + (ms.decode ?? 0));
    metrics.preprocessed(ms.preprocess ?? 0);
    metrics.postprocessed(ms.postprocess ?? 0);
    metrics.sliceCorrected(latencyMs);
    metrics.correctionEnded('corrected');
    for (const { kind } of flags) metrics.flagged(kind);
    logger.debug({ sop: source.sop, series: source.series, latencyMs }, 'instance corrected');
  });
  events.on('correctionFailed', ({ source, reason, permanent, attempts }) => {
    if (permanent) metrics.correctionEnded('failed');
    logger.error(
      { sop: source.sop, series: source.series, reason, attempts },
      permanent ? 'correction failed' : 'correction failed and will be tried again',
    );
  });
  events.on('series', ({ study, series, from, to, reason }) =>
    logger.info({ study, series, from, to, reason }, 'series changed its state'),
  );
  events.on('delivery', ({ destination, series, sop, outcome, status, message }) => {
    metrics.delivered({ destination, outcome });
    if (outcome === 'refused' || outcome === 'lost') {
      logger.error({ destination, series, sop, outcome, status, reason: message }, 'delivery failed');
    } else if (outcome === 'warning') {
      logger.warn({ destination, series, sop, status, reason: message }, 'delivered with a warning');
    }
  });
  events.on('turnaround', ({ study, series, destination, ms }) => {
    metrics.seriesDelivered({ destination, turnaroundMs: ms });
    logger.info({ study, series, destination, turnaroundMs: ms }, 'series delivered');
  });
  events.on('breaker', ({ destination, open, message }) =>
    logger[open ? 'warn' : 'info'](
      { destination, reason: message },
      open ? 'destination paused' : 'destination back',
    ),
  );
  events.on('room', ({ level, freeBytes }) =>
    logger[level === 'enough' ? 'info' : 'warn'](
      { level, freeBytes },
      level === 'enough'
        ? 'the disk has room again'
        : level === 'low'
          ? 'the disk is low: new associations are rejected for the moment'
          : 'the disk is nearly full: objects are refused',
    ),
  );
  events.on('removed', ({ study, series, instances, bytes, why }) => {
    metrics.removed({ why, instances, bytes });
    logger.info({ study, series, instances, bytes, why }, 'series removed by retention');
  });
  events.on('reviewed', ({ study, series, verdict, reviewer }) => {
    metrics.reviewed(verdict);
    logger.info({ study, series, verdict, reviewer }, 'series reviewed');
  });
  events.on('listenerError', (error) => logger.error({ err: error }, 'an event listener failed'));
}
