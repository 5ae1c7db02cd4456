/** The composition root: configuration in, parts wired, started and stopped in order; nothing else. */
import { join } from 'node:path';
import { type Correction, correctionHere } from './composition/correction.js';
import { addressOf, openDestinations } from './composition/destinations.js';
import { openDicomWeb } from './composition/dicomweb.js';
import { startProvider } from './composition/dimse-provider.js';
import { openServices } from './composition/dimse-services.js';
import { openFetching } from './composition/fetching.js';
import { correctionElsewhere } from './composition/gateway.js';
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
  /** Of secure associations, where they have a port of their own. */
  dicomTlsPort?: number;
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
  const startedAt = Date.now();
  // Undone in reverse, whether the start fails halfway or the server stops.
  const stops: (() => unknown)[] = [];
  const stopAll = async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  };
  try {
    let associations = () => 0;
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
    const deviceUid = dicom.uidFromName(`device\n${join(config.data, 'archive')}\n${config.aeTitle}`);
    const parts = { config, deviceUid, metrics, logger };
    const correction: Correction =
      config.queue === 'embedded' ? await correctionHere(parts) : await correctionElsewhere(parts);
    stops.push(() => correction.close());

    const destinations = openDestinations(config);
    const pipeline = await openPipeline({
      data: config.data,
      rules: config.rules,
      duplicates: config.duplicates,
      minFreeBytes: config.limits.freeDiskBytes,
      dicom,
      models: correction.models,
      elsewhere: correction.elsewhere,
      destinations,
      concurrency: { correct: correction.concurrency, deliver: config.concurrency.deliveries },
      retry: {
        deliver: {
          baseMs: config.retry.first,
          capMs: config.retry.max,
          maxRefusals: config.retry.refusals,
        },
      },
    });
    stops.push(() => pipeline.close());
    await correction.attach(pipeline);
    stops.push(() => correction.stop());
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

    const { fetching, pulling } = openFetching(config, pipeline, logger);
    stops.push(() => pulling.close());

    const readiness = async (): Promise<Readiness> => {
      const free = await pipeline.archive.freeBytes().catch(() => 0);
      const more = pipeline.intake.acceptMore();
      const checks = [
        ...correction.checks(),
        { name: 'archive', ok: more === true, message: more === true ? `${free} bytes free` : more.reason },
      ];
      return { ready: checks.every(({ ok, required }) => ok || required === false), checks };
    };
    const status = async (): Promise<StatusView> => ({
      version: VERSION,
      aeTitle: config.aeTitle,
      startedAt,
      engine: correction.engine(),
      model: correction.model ?? { name: 'none', version: '', sha256: '' },
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
      fetching,
      pulls: () => pulling.views(),
    });
    const http = await startWebServer(web.app, config.http);
    stops.push(async () => {
      web.close();
      await http.close();
    });
    pipeline.start();
    services.start();
    fetching.start();
    pulling.start();
    logger.info(
      {
        version: VERSION,
        aeTitle: config.aeTitle,
        dicom: `${config.dimse.host}:${provider.port}`,
        ...(provider.securePort !== undefined && {
          dicomTls: `${config.dimse.host}:${provider.securePort}`,
        }),
        page: http.url,
      },
      'listening',
    );
    return {
      dicomPort: provider.port,
      ...(provider.securePort !== undefined && { dicomTlsPort: provider.securePort }),
      httpPort: http.port,
      url: http.url,
      engine: () => correction.engine().engine,
      events: pipeline.events,
      close: stopAll,
    };
  } catch (error) {
    await stopAll();
    throw error;
  }
}
