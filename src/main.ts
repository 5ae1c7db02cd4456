/** The composition root: configuration in, parts wired, started and stopped in order; nothing else. */
import { join } from 'node:path';
import { addressOf, openDestinations } from './composition/destinations.js';
import { openDicomWeb } from './composition/dicomweb.js';
import { startProvider } from './composition/dimse-provider.js';
import { openServices } from './composition/dimse-services.js';
import { openModels } from './composition/models.js';
import { observe } from './composition/observe.js';
import type { Config } from './config/index.js';
import * as dicom from './dicom/index.js';
import { openPipeline } from './pipeline/index.js';
import type { PipelineEmitter } from './series/index.js';
import { createMetrics, type Logger } from './telemetry/index.js';
import { VERSION } from './version.js';
import {
  createWebApp,
  type Readiness,
  type StatusView,
  startWebServer,
  viewsOfPipeline,
} from './web/index.js';

export interface RunningServer {
  dicomPort: number;
  httpPort: number;
  /** The page's address. */
  url: string;
  engine(): string;
  /** What happens in the pipeline, as it happens. */
  events: PipelineEmitter;
  /** Stops receiving, finishes or gives back what is under way, closes the archive in good order. */
  close(): Promise<void>;
}

/**
 * Starts the server; resolves when it receives.
 * @throws Error with a sentence when a model, the engine, the data folder or a port cannot be had: nothing runs then
 */
export async function startServer(config: Config, logger: Logger): Promise<RunningServer> {
  if (config.queue !== 'embedded') {
    throw new Error(`queue: "${config.queue}" cannot be used yet; expected embedded`);
  }
  const startedAt = Date.now();
  // Undone in reverse, whether the start fails halfway or the server stops.
  const stops: (() => unknown)[] = [];
  const stopAll = async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  };
  try {
    let associations = () => 0;
    let engineProblem = '';
    const metrics = createMetrics({
      knownSources: config.peers.map((peer) => peer.aeTitle),
      knownDestinations: Object.keys(config.destinations),
      sources: {
        queues: () =>
          pipeline.queue.stats().map(({ kind, queued, leased, oldestMs }) => ({
            queue: kind,
            jobs: queued + leased,
            oldestAgeMs: oldestMs,
          })),
        archiveBytes: () => pipeline.archive.bytes(),
        associations: () => associations(),
      },
    });
    const models = await openModels({
      config,
      deviceUid: dicom.uidFromName(`device\n${join(config.data, 'archive')}\n${config.aeTitle}`),
      metrics,
      onEngineChange(now, reason) {
        engineProblem = reason;
        metrics.engine(now);
        logger.error(
          { engine: now.engine, device: now.device, reason },
          'the engine failed; another took over',
        );
      },
    });
    stops.push(() => models.close());
    const corrector = [...models.byName.values()][0]?.corrector;
    const described = corrector?.describe();
    if (described) {
      metrics.engine(described.engine);
      metrics.model(described.model);
    }

    const destinations = openDestinations(config);
    const pipeline = await openPipeline({
      data: config.data,
      rules: config.rules,
      duplicates: config.duplicates,
      minFreeBytes: config.limits.freeDiskBytes,
      dicom,
      models: models.byName,
      destinations,
      concurrency: { correct: corrector?.concurrency ?? 1, deliver: config.concurrency.deliveries },
      retry: {
        deliver: {
          baseMs: config.retry.first,
          capMs: config.retry.max,
          maxRefusals: config.retry.refusals,
        },
      },
    });
    stops.push(() => pipeline.close());
    observe(pipeline.events, metrics, logger);
    logger.info({ ...pipeline.recovery }, 'archive opened');

    const services = openServices(config, pipeline);
    const provider = await startProvider({
      config,
      intake: pipeline.intake,
      services: services.services,
      logger,
      associationEnded: (id) => pipeline.associationEnded(id),
    });
    associations = () => provider.associations();
    stops.push(() => provider.close());

    const readiness = async (): Promise<Readiness> => {
      const free = await pipeline.archive.freeBytes().catch(() => 0);
      const more = pipeline.intake.acceptMore();
      const engine = corrector?.describe().engine;
      const checks = [
        {
          name: 'engine',
          ok: engine !== undefined && engineProblem === '',
          message:
            engineProblem || (engine ? `${engine.engine} on ${engine.device}` : 'no rule names a model'),
        },
        { name: 'archive', ok: more === true, message: more === true ? `${free} bytes free` : more.reason },
      ];
      return { ready: checks.every(({ ok }) => ok), checks };
    };
    const status = async (): Promise<StatusView> => ({
      version: VERSION,
      aeTitle: config.aeTitle,
      startedAt,
      engine: corrector?.describe().engine ?? { engine: 'none', device: '', provider: '', version: '' },
      model: described?.model ?? { name: 'none', version: '', sha256: '' },
      queues: pipeline.queue.stats().map(({ kind, queued, leased, dead, oldestMs }) => ({
        queue: kind,
        jobs: queued + leased,
        dead,
        oldestAgeMs: oldestMs,
      })),
      destinations: Object.entries(config.destinations).map(([name, to]) => ({
        name,
        protocol: to.dimse ? 'dimse' : 'dicomweb',
        address: addressOf(to),
      })),
      archive: { bytes: pipeline.archive.bytes(), freeBytes: await pipeline.archive.freeBytes() },
      series: pipeline.series.countByState(),
    });
    const dicomWeb = openDicomWeb(config, pipeline);
    stops.push(() => dicomWeb.close());
    const web = createWebApp({
      config,
      metrics,
      logger,
      ready: readiness,
      dicomWeb: dicomWeb.router,
      ...viewsOfPipeline(pipeline, config.page.patient),
      status,
    });
    const http = await startWebServer(web.app, config.http);
    stops.push(async () => {
      web.close();
      await http.close();
    });
    pipeline.start();
    services.start();
    logger.info(
      {
        version: VERSION,
        aeTitle: config.aeTitle,
        dicom: `${config.dimse.host}:${provider.port}`,
        page: http.url,
      },
      'listening',
    );
    return {
      dicomPort: provider.port,
      httpPort: http.port,
      url: http.url,
      engine: () => corrector?.describe().engine.engine ?? 'none',
      events: pipeline.events,
      close: stopAll,
    };
  } catch (error) {
    await stopAll();
    throw error;
  }
}
