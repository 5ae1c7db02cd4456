import type { TestContext } from 'node:test';
import { openDicomWeb } from '../../../src/composition/dicomweb.js';
import { configSchema } from '../../../src/config/index.js';
import * as dicom from '../../../src/dicom/index.js';
import { openPipeline } from '../../../src/pipeline/index.js';
import type { Rule } from '../../../src/series/index.js';
import { viewsOfPipeline } from '../../../src/web/index.js';
import { atEnd, temporaryFolder } from '../pipeline/synthetic.js';
import { unchanged } from '../pipeline/unchanged-model.js';
import { startFakeServer } from '../web/fake-server.js';

/** The whole web application over a real archive on a free port; MR is "corrected" by a model that changes no pixel. */
export async function startArchiveServer(
  t: TestContext,
  http: { cors?: string[] } = {},
  settings: { access?: object; data?: string; page?: object } = {},
  rule: Partial<Rule> = {},
) {
  const pipeline = await openPipeline({
    data: await temporaryFolder(t),
    rules: [{ name: 'MR', when: { Modality: 'MR' }, model: 'none', to: [], ...rule }],
    complete: { quiet: 20, maxAge: 60_000 },
    dicom,
    models: new Map([['none', unchanged]]),
    destinations: [],
  });
  atEnd(t, () => pipeline.close(500));
  const config = configSchema.parse({ ...settings, http: { port: 0, ...http } });
  const dicomWeb = openDicomWeb(config, pipeline);
  atEnd(t, () => dicomWeb.close());
  const server = await startFakeServer({
    config,
    settings,
    dicomWeb: dicomWeb.router,
    peerAt: dicomWeb.peerAt,
    ...viewsOfPipeline(pipeline),
  });
  atEnd(t, () => server.close());
  return {
    pipeline,
    origin: server.url,
    url: `${server.url}/dicom-web`,
    log: server.log,
    server,
    async store(file: Buffer) {
      const incoming = pipeline.intake.beginFile({ source: { protocol: 'file', peer: 'test', address: '' } });
      for (let at = 0; at < file.length; at += 65_536) await incoming.write(file.subarray(at, at + 65_536));
      return incoming.commit();
    },
  };
}

export type Commit = Awaited<ReturnType<Awaited<ReturnType<typeof startArchiveServer>>['store']>>;

export interface ReceivedPart {
  headers: Record<string, string>;
  body: Buffer;
}

/** Takes a multipart message apart (RFC 2046 5.1.1), independently of the server's own code. */
export function partsOf(contentType: string | null, body: Buffer): ReceivedPart[] {
  const boundary = /boundary="?([^";]+)"?/.exec(contentType ?? '')?.[1];
  if (boundary === undefined) throw new Error(`no boundary in ${contentType}`);
  const parts: ReceivedPart[] = [];
  const delimiter = Buffer.from(`--${boundary}`);
  let at = body.indexOf(delimiter);
  if (at !== 0) throw new Error('the body does not begin with its boundary');
  for (;;) {
    at += delimiter.length;
    if (body.toString('latin1', at, at + 2) === '--') return parts;
    const headerEnd = body.indexOf('\r\n\r\n', at);
    const end = body.indexOf(Buffer.from(`\r\n--${boundary}`), headerEnd + 2);
    if (headerEnd < 0 || end < 0) throw new Error('the multipart body has no end');
    const lines = body.toString('latin1', at + 2, headerEnd).split('\r\n');
    const headers = Object.fromEntries(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    parts.push({ headers, body: body.subarray(headerEnd + 4, end) });
    at = end + 2;
  }
}

/** GET; the body is not interpreted. */
export async function get(url: string, accept?: string) {
  const response = await fetch(url, accept === undefined ? {} : { headers: { accept } });
  const body = Buffer.from(await response.arrayBuffer());
  const type = response.headers.get('content-type');
  return {
    status: response.status,
    headers: response.headers,
    type: type ?? '',
    body,
    json: <T>() => JSON.parse(body.toString()) as T,
    parts: () => partsOf(type, body),
  };
}
