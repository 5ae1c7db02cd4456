import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { OPERATIONS, openApiDocument, templateOf } from '../../../src/web/openapi/index.js';
import { startFakeServer } from './fake-server.js';
import { registeredRoutes } from './registered-routes.js';

interface Document {
  openapi: string;
  paths: Record<string, Record<string, Described>>;
  components: { schemas: Record<string, object> };
}
interface Described {
  parameters?: { name: string; in: string }[];
  responses: Record<string, { description: string; content?: Record<string, { schema?: { $ref: string } }> }>;
}

let fake: Awaited<ReturnType<typeof startFakeServer>>;
let document: Document;
before(async () => {
  const fetched = {
    id: 7,
    source: 'pacs',
    study: '1.2.3',
    requestedBy: 'request',
    state: 'failed' as const,
    expected: 3,
    received: 2,
    attempts: 1,
    message: 'no answer',
    requestedAt: 1,
    finishedAt: 2,
  };
  const state = { file: 'mcnet.yaml', loadedAt: 1, needsRestart: ['http.port'] };
  fake = await startFakeServer({
    fetching: {
      sources: new Map(),
      request: async () => [],
      get: (id) => (id === 7 ? fetched : undefined),
      list: () => [fetched],
    },
    pulls: () => [{ name: 'night', source: 'pacs', lastLookAt: 1, matching: 3, problem: 'no answer' }],
    configuration: {
      state: () => state,
      reload: (why) => ({ ...state, problem: why }),
    },
  });
  document = (await (await fetch(`${fake.url}/api/openapi.json`)).json()) as Document;
});
after(() => fake.close());

test('every registered route outside DICOMweb is described, and every description has its route', () => {
  const registered = registeredRoutes(fake.app)
    .filter(({ path }) => !path.startsWith('/dicom-web'))
    .map(({ method, path }) => `${method} ${templateOf(path)}`);
  const described = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  );
  assert.deepEqual(described.sort(), registered.sort());
  assert.equal(described.length, OPERATIONS.length);
});

test('it is OpenAPI 3.1: references lead somewhere, every parameter of a path is described', () => {
  assert.equal(document.openapi, '3.1.0');
  assert.deepEqual(document, JSON.parse(JSON.stringify(openApiDocument())));
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)];
  assert.ok(references.length > 20);
  for (const [, name] of references) assert.ok(document.components.schemas[name!], name);
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const operation of Object.values(operations)) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const given = (operation.parameters ?? []).filter((each) => each.in === 'path').map(({ name }) => name);
      assert.deepEqual(given, named, path);
      for (const { description } of Object.values(operation.responses)) assert.ok(description.length > 0);
    }
  }
});

test('what the server answers is what the description says, to the last key', async () => {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  (formats as unknown as (ajv: Ajv2020) => void)(ajv);
  ajv.addSchema(document, 'api');
  const known = fake.all[3]!.series;
  const seen = new Set<string>();
  for (const [method, at, template, sent] of [
    ['GET', '/healthz'],
    ['GET', '/readyz'],
    ['GET', '/metrics'],
    ['GET', '/login'],
    ['POST', '/login'],
    ['GET', '/login/start'],
    ['GET', '/login/callback'],
    ['POST', '/logout'],
    ['GET', '/api/session'],
    ['GET', '/api/openapi.json'],
    ['GET', '/api/series'],
    ['GET', '/api/series?limit=x', '/api/series'],
    ['GET', `/api/series/${known}`, '/api/series/{series}'],
    ['GET', '/api/series/1.2', '/api/series/{series}'],
    ['GET', '/api/series/x', '/api/series/{series}'],
    ['GET', `/api/series/${known}/slices`, '/api/series/{series}/slices'],
    ['POST', '/api/series/retry'],
    ['POST', '/api/series/retry?after=x', '/api/series/retry'],
    ['POST', `/api/series/${known}/retry`, '/api/series/{series}/retry'],
    ['POST', `/api/series/${known}/reviews`, '/api/series/{series}/reviews', { verdict: 'accepted' }],
    ['POST', `/api/series/${known}/reviews`, '/api/series/{series}/reviews', { verdict: 'perhaps' }],
    ['GET', `/api/series/${known}/reviews`, '/api/series/{series}/reviews'],
    ['GET', '/api/series/1.2/reviews', '/api/series/{series}/reviews'],
    ['POST', '/api/reader-studies', undefined, { name: 'first', series: [] }],
    ['GET', '/api/reader-studies'],
    ...['next', 'results', 'ratings.csv', 'statistics.csv'].map((what) => [
      'GET',
      `/api/reader-studies/none/${what}`,
      `/api/reader-studies/{id}/${what}`,
    ]),
    [
      'GET',
      '/api/reader-studies/none/cases/none/left/0',
      '/api/reader-studies/{id}/cases/{token}/{side}/{index}',
    ],
    ['POST', '/api/reader-studies/none/cases/none', '/api/reader-studies/{id}/cases/{token}', {}],
    ['GET', '/api/instances/1/preview.png', '/api/instances/{instance}/preview.png'],
    ['GET', '/api/instances/99/preview.png', '/api/instances/{instance}/preview.png'],
    ['GET', '/api/status'],
    ['GET', '/api/sources'],
    ['GET', '/api/fetch'],
    ['GET', '/api/fetch?limit=0', '/api/fetch'],
    ['GET', '/api/fetch/7', '/api/fetch/{id}'],
    ['GET', '/api/fetch/8', '/api/fetch/{id}'],
    ['POST', '/api/fetch'],
    ['GET', '/api/configuration'],
    ['POST', '/api/configuration/reload'],
  ] as [string, string, string?, object?][]) {
    const path = template ?? at;
    const response = await fetch(fake.url + at, {
      method,
      redirect: 'manual',
      headers: { origin: fake.url, ...(sent && { 'content-type': 'application/json' }) },
      ...(sent && { body: JSON.stringify(sent) }),
    });
    const described = document.paths[path]?.[method.toLowerCase()]?.responses[response.status];
    assert.ok(described, `${method} ${at} answered ${response.status}, which is not described`);
    seen.add(`${method} ${path}`);
    const type = response.headers.get('content-type')?.split(';', 1)[0];
    const content = described.content ?? {};
    if (Object.keys(content).length > 0) assert.deepEqual(Object.keys(content), [type], `${method} ${at}`);
    const schema = content['application/json']?.schema;
    if (!schema) continue;
    const body: unknown = await response.json();
    const valid = ajv.compile({ $ref: `api${schema.$ref}` });
    assert.ok(valid(body), `${method} ${at}: ${ajv.errorsText(valid.errors)}`);
    // The schemas are closed: a key more would be noticed.
    assert.equal(valid({ ...(body as object), surprise: 1 }), false, `${method} ${at}`);
  }
  const all = OPERATIONS.map(({ method, path }) => `${method} ${templateOf(path)}`);
  assert.deepEqual(
    all.filter((each) => !seen.has(each)),
    ['GET /api/events'],
  );
});
