import { fileURLToPath } from 'node:url';
import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Router } from 'express';
import type { Config } from '../config/index.js';
import type { Logger, Metrics } from '../telemetry/index.js';
import { type ApiParts, createApi } from './api.js';
import { createEventStream } from './event-stream.js';
import { createFetchApi, type FetchParts } from './fetch-api.js';
import { createReaderStudyApi, type ReaderStudyParts } from './reader-study-api.js';
import { crossOrigin, knownHosts, sameOrigin, securityHeaders } from './security.js';
import type { Readiness } from './views.js';

export interface WebParts extends ApiParts, FetchParts, Omit<ReaderStudyParts, 'series' | 'slices'> {
  config: Pick<Config, 'http'>;
  metrics: Pick<Metrics, 'exposition'>;
  logger: Pick<Logger, 'error' | 'debug'>;
  /** Whether everything that a slice needs is there. */
  ready(): Readiness | Promise<Readiness>;
  /** Calls the listener with the Series Instance UID of each series that changed; returns how to stop. */
  onSeriesChange(listener: (series: string) => void): () => void;
  /** What is served under /dicom-web. */
  dicomWeb: Router;
}

export interface WebApp {
  app: Express;
  /** Ends the event streams, which would keep a server from closing. */
  close(): void;
}

/** The page's files, as Vite built them. */
const UI = fileURLToPath(new URL('./ui', import.meta.url));

/** Errors become a sentence without internals; what happened stands in the log. */
function errorAnswer(logger: WebParts['logger']): ErrorRequestHandler {
  // Four parameters are what makes it an error handler.
  return (error: unknown, request, response, _next) => {
    const status: unknown = (error as { status?: unknown } | undefined)?.status;
    if (typeof status === 'number' && status >= 400 && status < 500) {
      if (response.headersSent) request.socket.destroy();
      else response.status(status).json({ error: 'the request is malformed' });
      return;
    }
    logger.error({ err: error, method: request.method, route: request.path }, 'a request failed');
    // Half an answer must not look whole.
    if (response.headersSent) request.socket.destroy();
    else response.status(500).json({ error: 'the server failed at this request; its log says why' });
  };
}

/**
 * The HTTP application: the page at /, the management API under /api, DICOMweb under /dicom-web, and /metrics,
 * /healthz, /readyz for the operators.
 */
export function createWebApp(parts: WebParts): WebApp {
  const app = express();
  app.disable('x-powered-by');
  app.set('query parser', 'simple');
  app.use(securityHeaders);

  // Probes and Prometheus come under names of the cluster's, and see nothing that is worth a rebinding.
  app.get('/healthz', (_request, response) => {
    response.type('text/plain').send('ok\n');
  });
  app.get('/readyz', async (_request, response) => {
    const readiness = await parts.ready();
    response.status(readiness.ready ? 200 : 503).json(readiness);
  });
  app.get('/metrics', async (_request, response) => {
    const { contentType, body } = await parts.metrics.exposition();
    response.set('Content-Type', contentType).send(body);
  });

  const events = createEventStream({
    onChange: (listener) => parts.onSeriesChange(listener),
    view: (series) => parts.series.get(series),
  });
  app.use(knownHosts([parts.config.http.host, ...parts.config.http.allowedHosts]));
  app.use('/dicom-web', crossOrigin(parts.config.http.cors));
  app.use(sameOrigin);
  app.use('/dicom-web', parts.dicomWeb);
  app.get('/api/events', (request, response) => events.handle(request, response));
  app.use('/api/reader-studies', createReaderStudyApi(parts));
  app.use('/api', createApi(parts), createFetchApi(parts));
  app.get('/reader-study', (request, response, next) => {
    // Its files are named relative to it.
    if (request.path === '/reader-study') response.redirect(308, 'reader-study/');
    else next();
  });
  app.use(express.static(UI, { index: 'index.html', redirect: false, cacheControl: false }));
  const unknown: RequestHandler = (_request, response) => {
    response.status(404).json({ error: 'there is nothing at this address' });
  };
  app.use(unknown);
  app.use(errorAnswer(parts.logger));
  return { app, close: () => events.close() };
}
