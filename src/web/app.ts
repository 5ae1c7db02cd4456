import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Router } from 'express';
import type { Access } from '../access/index.js';
import type { Config } from '../config/index.js';
import type { Logger, Metrics } from '../telemetry/index.js';
import { guard, type Refusals } from './access-guard.js';
import { type ApiParts, createApi } from './api.js';
import { type Disclosures, disclosing } from './disclosure.js';
import { createEventStream } from './event-stream.js';
import { createFetchApi, type FetchParts } from './fetch-api.js';
import { createLogin, type LoginEvents } from './login.js';
import { createReaderStudyApi, type ReaderStudyParts } from './reader-study-api.js';
import { createAccessTable } from './route-access.js';
import {
  crossOrigin,
  knownHosts,
  promptBody,
  sameOrigin,
  securityHeaders,
  strictTransport,
} from './security.js';
import type { Readiness } from './views.js';

export interface WebParts extends ApiParts, FetchParts, Omit<ReaderStudyParts, 'series' | 'slices'> {
  config: Pick<Config, 'http' | 'access'>;
  access: Access;
  /** The name of the DICOMweb client at an address. */
  peerAt(address: string): Promise<string | undefined>;
  /** Who came, who went, who was refused, and who saw or did what. */
  accessEvents: LoginEvents & Refusals & Disclosures;
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
const LOGIN = fileURLToPath(new URL('../../../src/web/login', import.meta.url));

/** How often an event stream's credentials are looked at again. */
const RECHECK_MS = 15_000;
/** Small bodies are whole by then. */
const BODY_MS = 30_000;

/** The paths under which a folder's files are served; an index also under the path of its folder. */
function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => encodeURI(join(entry.parentPath, entry.name).slice(folder.length).replaceAll('\\', '/')))
    .flatMap((path) => {
      if (!path.endsWith('/index.html')) return [path];
      const place = path.slice(0, -'index.html'.length);
      return place === '/' ? [path, place] : [path, place, place.slice(0, -1)];
    });
}

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
  const { access } = parts;
  app.set('trust proxy', parts.config.access?.proxy?.addresses ?? false);
  app.use(
    securityHeaders,
    strictTransport((request) => access.isSecure(request)),
    promptBody(BODY_MS),
  );
  app.use('/dicom-web', crossOrigin(parts.config.http.cors));
  app.use(
    guard({
      access,
      table: createAccessTable(filesOf(UI), parts.config.access?.open ?? ['health', 'metrics']),
      limits: parts.config.access,
      peerAt: (address) => parts.peerAt(address),
      refusals: parts.accessEvents,
    }),
    disclosing(parts.accessEvents),
  );

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
  app.use(sameOrigin);
  app.use(
    createLogin({
      access,
      loginsPerMinute: parts.config.access?.rate.logins ?? Number.MAX_SAFE_INTEGER,
      events: parts.accessEvents,
    }),
  );
  app.use(express.static(LOGIN, { index: false, redirect: false, cacheControl: false }));
  app.use('/dicom-web', parts.dicomWeb);
  app.get('/api/events', (request, response) => {
    events.handle(request, response);
    // A stream goes on for hours: it ends when its session does.
    const check = setInterval(() => {
      const identity = access.identify(request, true);
      if (!identity || 'forged' in identity) response.end();
    }, RECHECK_MS);
    response.once('close', () => clearInterval(check));
  });
  app.use('/api', createApi(parts), createFetchApi(parts), createReaderStudyApi(parts));
  app.use('/reader-study', (request, response, next) => {
    // Its files are named relative to it.
    if (request.originalUrl.split('?', 1)[0] === '/reader-study') response.redirect(308, '/reader-study/');
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
