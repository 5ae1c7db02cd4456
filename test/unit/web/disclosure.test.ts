import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import express from 'express';
import { discloses, disclosing } from '../../../src/web/disclosure.js';

/** An application that answers everything with one status, and what the audit trail hears of it. */
async function start(t: TestContext, status = 200) {
  const heard: string[] = [];
  const app = express();
  app.use((_request, response, next) => {
    response.locals.principal = { name: 'maria', role: 'admin', by: 'session', address: '' };
    next();
  });
  app.use(
    disclosing({
      viewed: (_principal, what) => heard.push(`viewed ${JSON.stringify(what)}`),
      queried: (_principal, query) => heard.push(`queried ${query}`),
      acted: (_principal, action, series) => heard.push(`${action} ${series}`),
    }),
  );
  app.get('/blinded', (_request, response) => {
    discloses(response, (to, principal) => to.viewed(principal, { study: '1.2', series: '1.3' }));
    response.status(status).json({});
  });
  app.use(express.json(), (request, response) => {
    if (request.path === '/api/series/retry') response.locals.series = ['1.3', '1.4'];
    response.status(status).json({});
  });
  const server = createServer(app).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return async (method: string, path: string, body?: object) => {
    const headers = { 'content-type': 'application/json', connection: 'close' };
    await fetch(url + path, { method, headers, ...(body && { body: JSON.stringify(body) }) });
    return heard.splice(0);
  };
}

test('what an answer discloses or decides is told with the study, series or instance that it is about', async (t) => {
  const ask = await start(t);
  for (const [method, path, expected, body] of [
    ['GET', '/dicom-web/studies?PatientID=1', 'queried /dicom-web/studies?PatientID=1'],
    ['GET', '/dicom-web/studies/1.2/series', 'queried /dicom-web/studies/1.2/series'],
    ['GET', '/dicom-web/studies/1.2/instances', 'queried /dicom-web/studies/1.2/instances'],
    [
      'GET',
      '/dicom-web/studies/1.2/series/1.3/instances',
      'queried /dicom-web/studies/1.2/series/1.3/instances',
    ],
    ['GET', '/dicom-web/studies/1.2', 'viewed {"study":"1.2"}'],
    ['GET', '/dicom-web/studies/1.2/metadata', 'viewed {"study":"1.2"}'],
    [
      'GET',
      '/dicom-web/studies/1.2/series/1.3/instances/1.4/frames/1/rendered',
      'viewed {"study":"1.2","series":"1.3"}',
    ],
    ['GET', '/api/series?limit=1', 'queried /api/series?limit=1'],
    ['GET', '/api/series/1.3', 'viewed {"series":"1.3"}'],
    ['GET', '/api/series/1.3/slices', 'viewed {"series":"1.3"}'],
    ['GET', '/blinded', 'viewed {"study":"1.2","series":"1.3"}'],
    ['GET', '/api/instances/7/preview.png', 'viewed {"instance":7}'],
    ['POST', '/api/fetch', 'queried /api/fetch {"source":"pacs"}', { source: 'pacs' }],
    ['POST', '/api/series/1.3/retry', 'retry 1.3'],
    ['POST', '/api/series/1.3/reviews', 'accept 1.3', { verdict: 'accepted' }],
    ['POST', '/api/series/1.3/reviews', 'reject 1.3', { verdict: 'rejected' }],
  ] as [string, string, string, object?][]) {
    assert.deepEqual(await ask(method, path, body), [expected], `${method} ${path}`);
  }
  assert.deepEqual(await ask('POST', '/api/series/retry'), ['retry 1.3', 'retry 1.4']);
  for (const path of ['/', '/healthz', '/metrics', '/api/status', '/api/session']) {
    assert.deepEqual(await ask('GET', path), [], path);
  }
});

test('what was refused or failed disclosed nothing', async (t) => {
  for (const status of [400, 403, 404, 500]) {
    const ask = await start(t, status);
    assert.deepEqual(await ask('GET', '/dicom-web/studies/1.2'), []);
    assert.deepEqual(await ask('POST', '/api/series/1.3/reviews', { verdict: 'accepted' }), []);
  }
});
