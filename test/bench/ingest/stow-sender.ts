/** Sends files by STOW-RS as a process of its own: some in a request, some connections at a time; answers with the time. */
import { readFileSync } from 'node:fs';
import { Pool } from 'undici';

export interface StowOrder {
  /** Root of the service, without /studies. */
  url: string;
  files: string[];
  perRequest: number;
  connections: number;
}

export interface StowSent {
  ms: number;
  stored: number;
  problem: string;
}

const BOUNDARY = 'mcnet-ingest';

/** multipart/related after PS3.18 section 8.6.1.2. */
function bodyOf(files: readonly string[]): Buffer {
  const head = Buffer.from(`--${BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n`);
  const end = Buffer.from('\r\n');
  return Buffer.concat([
    ...files.flatMap((file) => [head, readFileSync(file), end]),
    Buffer.from(`--${BOUNDARY}--\r\n`),
  ]);
}

async function send({ url, files, perRequest, connections }: StowOrder): Promise<StowSent> {
  const bodies: Buffer[] = [];
  for (let i = 0; i < files.length; i += perRequest) bodies.push(bodyOf(files.slice(i, i + perRequest)));
  const { origin, pathname } = new URL(url);
  const pool = new Pool(origin, { connections, pipelining: 1 });
  let stored = 0;
  const one = async () => {
    for (let body = bodies.shift(); body !== undefined; body = bodies.shift()) {
      const response = await pool.request({
        path: `${pathname}/studies`,
        method: 'POST',
        headers: {
          'content-type': `multipart/related; type="application/dicom"; boundary=${BOUNDARY}`,
          accept: 'application/dicom+json',
        },
        body,
      });
      const text = await response.body.text();
      if (response.statusCode !== 200)
        throw new Error(`answer ${response.statusCode}: ${text.slice(0, 200)}`);
      const answer = JSON.parse(text) as Record<string, { Value?: unknown[] } | undefined>;
      stored += answer['00081199']?.Value?.length ?? 0;
    }
  };
  const startedAt = performance.now();
  let problem = '';
  try {
    await Promise.all(Array.from({ length: connections }, one));
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  const ms = performance.now() - startedAt;
  await pool.destroy();
  return { ms, stored, problem };
}

process.on('message', (order: StowOrder) => {
  void send(order).then((sent) => process.send!(sent, () => process.disconnect()));
});
