import type { RequestListener } from 'node:http';
import { type Access, openAccess } from '../access/index.js';
import type { Config } from '../config/index.js';
import type { Metrics } from '../telemetry/index.js';
import { createAccessTable, type Readiness } from '../web/index.js';

/** What a worker tells its operators: /healthz, /readyz and /metrics, to those whom `access` lets in. */
export function workerHealth(o: {
  ready(): Readiness;
  metrics: Pick<Metrics, 'exposition'>;
  config: Pick<Config, 'access' | 'data' | 'http'>;
}): RequestListener {
  const access: Access = openAccess(o.config);
  const table = createAccessTable([], o.config.access?.open ?? ['health', 'metrics']);
  return async (request, response) => {
    const path = (request.url ?? '').split('?')[0];
    const allowed = table.allowedAt(request.method ?? '', path ?? '');
    const who = access.identify(request);
    const role = who && !('forged' in who) ? who.role : undefined;
    if (allowed !== 'everyone' && !(role && allowed.includes(role))) {
      response.writeHead(role ? 403 : 401, { 'WWW-Authenticate': 'Bearer realm="mcnet"' }).end();
    } else if (request.method !== 'GET') response.writeHead(405).end();
    else if (path === '/healthz') response.writeHead(200, { 'Content-Type': 'text/plain' }).end('ok\n');
    else if (path === '/readyz') {
      const readiness = o.ready();
      response.writeHead(readiness.ready ? 200 : 503, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify(readiness));
    } else if (path === '/metrics') {
      const { contentType, body } = await o.metrics.exposition();
      response.writeHead(200, { 'Content-Type': contentType }).end(body);
    } else response.writeHead(404).end();
  };
}
