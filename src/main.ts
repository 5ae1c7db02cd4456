/** The composition root: configuration in, parts wired, started and stopped in order; nothing else. */
import { join } from 'node:path';
import { openAccess } from './access/index.js';
import { openAuditTrail } from './audit/index.js';
import { accessEvents } from './composition/access-events.js';
import { createAuditing } from './composition/audit.js';
import { type Correction, correctionHere, engineView, modelView } from './composition/correction.js';
import { destinationViews, openDestinations } from './composition/destinations.js';
import { openDicomWeb } from './composition/dicomweb.js';
import { startProvider } from './composition/dimse-provider.js';
import { openServices } from './composition/dimse-services.js';
import { openFetching } from './composition/fetching.js';
import { correctionElsewhere } from './composition/gateway.js';
import { observe } from './composition/observe.js';
import { configurationFindings, openReload } from './composition/open-reload.js';
import { listenerTls } from './composition/tls.js';
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
  type WebServer,
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
  /** Reads rules, peers and destinations anew; what is wrong is logged and shown, and changes nothing. */
  reload(why: string): void;
  /** Stops receiving, finishes or gives back what is under way, closes the archive in good order. */
  close(): Promise<void>;
}

/** Where the configuration comes from, and how it is read again. */
export interface ConfigurationSource {
  file: string;
  /** @throws ConfigError */
  load(): Config;
}

/**
 * Starts the server; resolves when it receives.
 * @param config its rules, peers and destinations are replaced in place when its source is read again
 * @throws Error with a sentence when a model, the engine, the data folder or a port cannot be had: nothing runs then
 */
export async function startServer(
  config: Config,
  logger: Logger,
  source?: ConfigurationSource,
): Promise<RunningServer> {
  const startedAt = Date.now();
  // Undone in reverse, whether the start fails halfway or the server stops.
  const stops: (() => unknown)[] = [];
  const stopAll = async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  };
  try {
    let associations = () => 0;
    const metrics = createMetrics({
      knownSources: () => config.peers.map((peer) => peer.aeTitle),
      knownDestinations: () => Object.keys(config.destinations),
      watermarks: config.disk,
      sources: {
        queues: () =>
          pipeline.queue.stats().map(({ kind, queued, leased, oldestMs }) => ({
            queue: kind,
            jobs: queued + leased,
            oldestAgeMs: oldestMs,
          })),
        archiveBytes: () => pipeline.archive.bytes(),
        diskFreeBytes: () => pipeline.archive.freeBytes(),
        associations: () => associations(),
      },
    });
    const trail = await openAuditTrail({
      config,
      onProblem(sink, problem) {
        metrics.auditing(sink, problem === undefined);
        if (problem) logger.error({ sink, reason: problem }, 'the audit trail cannot be kept');
        else logger.info({ sink }, 'the audit trail is kept again');
      },
    });
    metrics.auditing('file', true);
    let auditing = false;
    stops.push(async () => {
      if (auditing) audit.stopped();
      await trail.close();
    });
    const audit = createAuditing({ trail, archive: () => pipeline.archive, config: () => config });
    const deviceUid = dicom.uidFromName(`device\n${join(config.data, 'archive')}\n${config.aeTitle}`);
    const parts = { config, deviceUid, metrics, logger };
    const correction: Correction =
      config.queue === 'embedded' ? await correctionHere(parts) : await correctionElsewhere(parts);
    stops.push(() => correction.close());

    const destinations = () => openDestinations(config).map((destination) => audit.destination(destination));
    const pipeline = await openPipeline({
      data: config.data,
      rules: config.rules,
      duplicates: config.duplicates,
      disk: config.disk,
      quotas: config.quotas,
      retention: config.retention,
      dicom,
      models: correction.models,
      elsewhere: correction.elsewhere,
      destinations: destinations(),
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
    pipeline.events.on('removing', (about) => audit.removing(about));
    pipeline.events.on('removed', (about) => audit.removed(about));
    logger.info({ ...pipeline.recovery }, 'archive opened');

    const intake = audit.intake(pipeline.intake);
    const associationEnded = (id: string) => {
      pipeline.associationEnded(id);
      audit.associationEnded(id);
    };
    const services = openServices(config, pipeline, audit);
    stops.push(() => services.close());
    const provider = await startProvider({
      config,
      intake,
      services: services.services,
      logger,
      associationEnded,
      onAssociation: (event, info) => audit.association(event, info),
    });
    associations = () => provider.associations();
    stops.push(() => provider.close());

    let http: WebServer | undefined;
    const reload =
      source &&
      openReload({
        config,
        source,
        models: correction.models,
        pipeline,
        destinations,
        renewCertificates() {
          const { tls } = config.dimse;
          if (tls) provider.renewCertificates(listenerTls(tls));
          http?.renewCertificate();
        },
        metrics,
        logger,
        audit,
      });
    if (reload) stops.push(() => reload.close());
    const { fetching, pulling } = openFetching(config, { ...pipeline, intake }, logger);
    stops.push(() => pulling.close());

    const readiness = async (): Promise<Readiness> => {
      const free = await pipeline.archive.freeBytes().catch(() => 0);
      const more = pipeline.intake.acceptMore();
      const checks: Readiness['checks'][number][] = [
        ...correction.checks(),
        ...configurationFindings(reload?.state()),
        ...trail.problems().map((message) => ({ name: 'audit trail', ok: true, message })),
        { name: 'archive', ok: more === true, message: more === true ? `${free} bytes free` : more.reason },
      ];
      return { ready: checks.every(({ ok, required }) => ok || required === false), checks };
    };
    const status = async (): Promise<StatusView> => ({
      version: VERSION,
      aeTitle: config.aeTitle,
      startedAt,
      engine: engineView(correction.engine()),
      model: modelView(correction.model),
      queues: pipeline.queue.stats().map(({ kind, queued, leased, dead, oldestMs }) => ({
        queue: kind,
        jobs: queued + leased,
        dead,
        oldestAgeMs: oldestMs,
      })),
      destinations: destinationViews(config, pipeline.delivery.breakers()),
      archive: { bytes: pipeline.archive.bytes(), freeBytes: await pipeline.archive.freeBytes() },
      series: pipeline.series.countByState(),
      problems: [
        ...(await readiness()).checks
          .filter(({ ok }) => !ok)
          .map(({ name, message }) => `${name}: ${message}`),
        ...trail.problems(),
      ],
      ...(reload && { configuration: reload.state() }),
    });
    const dicomWeb = openDicomWeb(config, { archive: pipeline.archive, intake, associationEnded });
    stops.push(() => dicomWeb.close());
    const access = openAccess(config);
    stops.push(() => access.close());
    const web = createWebApp({
      config,
      access,
      peerAt: dicomWeb.peerAt,
      accessEvents: accessEvents(metrics, logger, audit),
      metrics,
      logger,
      ready: readiness,
      dicomWeb: dicomWeb.router,
      ...viewsOfPipeline(pipeline, config.page.patient),
      status,
      configuration: reload,
      fetching,
      pulls: () => pulling.views(),
    });
    http = await startWebServer(web.app, config.http);
    const { close: closeHttp } = http;
    stops.push(async () => {
      web.close();
      await closeHttp();
    });
    audit.started();
    auditing = true;
    pipeline.start();
    services.start();
    reload?.watch();
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
      reload: (why) => void reload?.reload(why),
      close: stopAll,
    };
  } catch (error) {
    await stopAll();
    throw error;
  }
}
