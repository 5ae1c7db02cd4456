import type { EngineDescription } from '../inference/index.js';
import type { Logger, Metrics } from '../telemetry/index.js';
import type { Readiness } from '../web/index.js';

/** Hears what becomes of the engines of all models, for log, metrics and readiness. */
export interface EngineWatch {
  /** The engine of a model runs: said once, at start. */
  opened(model: string, now: EngineDescription): void;
  /** A device failed, and another engine took over: slower than it should be, until a restart. */
  changed(now: EngineDescription, reason: string): void;
  /** The engine of a model failed, and there is none to take over: its instances wait. */
  lost(model: string, reason: string): void;
  restored(model: string, now: EngineDescription): void;
  /** What readiness says of it. @param engine the engine that runs, undefined where no rule names a model */
  check(engine: EngineDescription | undefined): Readiness['checks'][number];
}

export function watchEngines(
  metrics: Pick<Metrics, 'engine' | 'engineFellBack' | 'engineUp'>,
  logger: Logger,
): EngineWatch {
  let fellBack = '';
  const lost = new Map<string, string>();
  return {
    opened(model, { engine, device, precision }) {
      logger.info({ model, engine, device, ...precision }, 'the engine is open');
    },
    changed(now, reason) {
      fellBack = reason;
      metrics.engine(now);
      metrics.engineFellBack();
      logger.error(
        { engine: now.engine, device: now.device, reason },
        'the engine failed; another took over',
      );
    },
    lost(model, reason) {
      lost.set(model, reason);
      metrics.engineUp(false);
      logger.error(
        { model, reason },
        'the engine failed, and no other takes over; instances wait until it works',
      );
    },
    restored(model, now) {
      lost.delete(model);
      metrics.engine(now);
      metrics.engineUp(lost.size === 0);
      logger.warn({ model, engine: now.engine, device: now.device }, 'the engine works again');
    },
    check(engine) {
      const [gone] = lost;
      const message = gone
        ? `no engine runs ${gone[0]}, its instances wait: ${gone[1]}`
        : fellBack || (engine ? `${engine.engine} on ${engine.device}` : 'no rule names a model');
      return {
        name: 'engine',
        ok: engine !== undefined && fellBack === '' && gone === undefined,
        message,
      };
    },
  };
}
