import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { atEnd, startProgram, temporaryFolder } from './process.js';

/** A browser in a container that looks up and fetches nothing of its own accord. */
export const QUIET_FLAGS: readonly string[] = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
const FLAGS = [
  '--headless',
  ...QUIET_FLAGS,
  // Without it a headless browser ends as soon as the page is loaded.
  '--remote-debugging-port=0',
];

export interface BrowserPage<T> {
  /** Where the page comes from. */
  origin: string;
  /** Opens the page in headless Chromium; resolves with what its script returned. */
  run(timeoutMs?: number): Promise<T>;
}

/**
 * Serves a page whose script is the body of an async function; its result, or failure, is sent back as JSON.
 * @param page libraries: sources of classic scripts, by the path under which the page loads them
 * @param page.folder what else the page may load
 */
export async function servePage<T>(
  t: TestContext,
  page: { libraries: Readonly<Record<string, string>>; script(): string; folder?: string },
): Promise<BrowserPage<T>> {
  let report: (text: string) => void = () => {};
  const reported = new Promise<string>((resolve) => {
    report = resolve;
  });
  const script = () => `const run = async () => {${page.script()}};
    const send = (report) => fetch('/report', { method: 'POST', body: JSON.stringify(report) });
    const text = (error) => String(error?.stack ?? error?.message ?? JSON.stringify(error));
    run().then((result) => send({ result }), (error) => send({ error: text(error) }));`;
  const fileOf = (path: string): Buffer | undefined => {
    const file = page.folder === undefined || path.includes('..') ? undefined : join(page.folder, path);
    return file !== undefined && existsSync(file) ? readFileSync(file) : undefined;
  };
  const server = createServer(async (request, response) => {
    const path = (request.url ?? '').split('?')[0]!;
    if (request.method === 'POST') {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      report(Buffer.concat(chunks).toString());
      response.end();
    } else if (path === '/') {
      const scripts = Object.keys(page.libraries).map((name) => `<script src="${name}"></script>`);
      response.setHeader('Content-Type', 'text/html; charset=utf-8');
      response.end(`<!doctype html><title>test</title>${scripts.join('')}<script src="/script.js"></script>`);
    } else {
      const source = path === '/script.js' ? script() : (page.libraries[path] ?? fileOf(path));
      const type = path.endsWith('.wasm') ? 'application/wasm' : 'text/javascript; charset=utf-8';
      response.setHeader('Content-Type', type);
      response.statusCode = source === undefined ? 404 : 200;
      response.end(source);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(t, () => {
    server.close();
    server.closeAllConnections();
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    async run(timeoutMs = 60_000) {
      const browser = startProgram(t, 'chromium', [
        ...FLAGS,
        `--user-data-dir=${temporaryFolder(t, 'chromium')}`,
        `${origin}/`,
      ]);
      const late = new Promise<never>((_, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`the page reported nothing within ${timeoutMs} ms\n${browser.output()}`)),
          timeoutMs,
        );
        timer.unref();
      });
      const ended = browser.exited.then((code) => {
        throw new Error(`Chromium ended with ${code}\n${browser.output()}`);
      });
      const text = await Promise.race([reported, late, ended]);
      ended.catch(() => {}); // it ends with the test
      const { result, error } = JSON.parse(text) as { result: T; error?: string };
      if (error !== undefined) throw new Error(`in the page: ${error}`);
      return result;
    },
  };
}
