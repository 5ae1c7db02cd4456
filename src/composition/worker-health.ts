import type { RequestListener } from 'node:http';
import type { Metrics } from '../telemetry/index.js';
import type { Readiness } from '../web/index.js';

/** What a worker tells its operators: /healthz, /readyz and /metrics. */
export function workerHealth(o: {
  ready(): Readiness;
  metrics: Pick<Metrics, 'exposition'>;
}): RequestListener {
  return async (request, response) => {
    const path = (request.url ?? '').split('?')[0];
    if (request.method !== 'GET') response.writeHead(405).end();
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
