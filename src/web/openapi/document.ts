import { z } from 'zod';
import { VERSION } from '../../version.js';
import { ROUTE_ACCESS } from '../route-access.js';
import { type Answer, OPERATIONS, type Operation } from './operations.js';
import * as schemas from './schemas.js';

type Json = Readonly<Record<string, unknown>>;

function nameOf(schema: z.ZodType): string | undefined {
  return Object.entries(schemas).find(([, each]) => each === schema)?.[0];
}

function contentOf(answer: Answer): Json {
  if ('mediaType' in answer) return { content: { [answer.mediaType]: {} } };
  if (!('schema' in answer)) return {};
  return {
    content: { 'application/json': { schema: { $ref: `#/components/schemas/${nameOf(answer.schema)}` } } },
  };
}

function operationOf({ method, path, summary, parameters, body, answers }: Operation): Json {
  const allowed = ROUTE_ACCESS.find((each) => each.method === method && each.path === path)?.allowed;
  const refused: Record<string, Json> =
    allowed === 'everyone'
      ? {}
      : {
          401: {
            description: 'No credentials, or none that are good.',
            ...contentOf({ description: '', schema: schemas.failure }),
          },
          403: {
            description: 'The role may not do this.',
            ...contentOf({ description: '', schema: schemas.failure }),
          },
        };
  return {
    summary,
    description: `For: ${allowed === 'everyone' ? 'everyone' : (allowed ?? ['admin']).join(', ')}.`,
    ...(allowed === 'everyone' && { security: [] }),
    ...(parameters && {
      parameters: parameters.map((parameter) => ({ ...parameter, required: parameter.in === 'path' })),
    }),
    ...(body && { requestBody: { required: true, content: { [body.mediaType]: { schema: body.schema } } } }),
    responses: {
      ...refused,
      ...Object.fromEntries(
        Object.entries(answers).map(([status, answer]) => [
          status,
          { description: answer.description, ...contentOf(answer) },
        ]),
      ),
    },
  };
}

/** The path as OpenAPI has it. */
export function templateOf(path: string): string {
  return path.replaceAll(/:(\w+)/g, '{$1}');
}

/** Every schema by its name, with references between them, as JSON Schema 2020-12. */
function components(): Json {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(schemas)) registry.add(schema as z.ZodType, { id });
  const { schemas: all } = z.toJSONSchema(registry, {
    uri: (id) => `#/components/schemas/${id}`,
    io: 'output',
  });
  return Object.fromEntries(
    Object.entries(all).map(([name, { $id: _id, $schema: _schema, ...schema }]) => [name, schema]),
  );
}

/** The management API (OpenAPI 3.1.0). DICOMweb is described by PS3.18 and the conformance statement. */
export function openApiDocument(): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const operation of OPERATIONS) {
    const path = templateOf(operation.path);
    paths[path] = { ...paths[path], [operation.method.toLowerCase()]: operationOf(operation) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'MC-Net server',
      version: VERSION,
      description:
        'Management of the server. Where access is configured, requests carry a token (mcnet token add) or the cookie of a session. DICOMweb is at /dicom-web, as PS3.18 describes it.',
    },
    servers: [{ url: '/' }],
    security: [{ token: [] }, { session: [] }],
    paths,
    components: {
      schemas: components(),
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'As mcnet token add prints it.' },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: 'mcnet',
          description: 'As POST /login sets it; over https it is called __Host-mcnet.',
        },
      },
    },
  };
}
