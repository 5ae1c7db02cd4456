import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Router } from 'express';
import { configSchema } from '../../../src/config/index.js';
import { startFakeServer } from './fake-server.js';

const VIEWER = 'https://viewer.example';

test('pages of a listed origin may use DICOMweb, and nothing else of this server', async (t) => {
  const dicomWeb = Router();
  dicomWeb.all('/studies', (_request, response) => {
    response.json([]);
  });
  const fake = await startFakeServer({ dicomWeb });
  t.after(() => fake.close());
  const ask = (path: string, method: string, headers: Record<string, string>) =>
    fetch(fake.url + path, { method, headers });
  const cross = { origin: VIEWER, 'sec-fetch-site': 'cross-site' };

  const read = await ask('/dicom-web/studies', 'GET', cross);
  assert.equal(read.headers.get('access-control-allow-origin'), VIEWER);
  assert.equal(read.headers.get('cross-origin-resource-policy'), 'cross-origin');
  assert.match(read.headers.get('vary') ?? '', /Origin/);
  assert.equal((await ask('/dicom-web/studies', 'POST', cross)).status, 200);
  const preflight = await ask('/dicom-web/studies', 'OPTIONS', {
    ...cross,
    'access-control-request-method': 'GET',
    'access-control-request-headers': 'accept',
  });
  assert.equal(preflight.status, 204);
  assert.match(preflight.headers.get('access-control-allow-methods') ?? '', /GET/);
  assert.match(preflight.headers.get('access-control-allow-headers') ?? '', /Accept/);

  for (const origin of [
    'https://viewer.example.evil',
    'http://viewer.example',
    'null',
    'https://evil.example',
  ]) {
    const stranger = await ask('/dicom-web/studies', 'GET', { ...cross, origin });
    assert.equal(stranger.headers.get('access-control-allow-origin'), null, origin);
    assert.equal(stranger.headers.get('cross-origin-resource-policy'), 'same-origin');
    assert.equal((await ask('/dicom-web/studies', 'POST', { ...cross, origin })).status, 403);
  }
  const api = await ask('/api/series', 'GET', cross);
  assert.equal(api.headers.get('access-control-allow-origin'), null);
  assert.equal((await ask(`/api/series/${fake.all[0]!.series}/retry`, 'POST', cross)).status, 403);
});

test('by default no origin is listed, and an entry must be an origin', () => {
  assert.deepEqual(configSchema.parse({}).http.cors, []);
  for (const cors of ['*', 'https://viewer.example/', 'viewer.example', 'https://viewer.example/path']) {
    assert.equal(configSchema.safeParse({ http: { cors: [cors] } }).success, false, cors);
  }
});
