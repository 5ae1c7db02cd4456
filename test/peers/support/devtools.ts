import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { WebSocket } from 'undici';
import { atEnd, eventually, startProgram } from './process.js';

/** A window of headless Chromium, driven by its DevTools protocol. */
export interface Window {
  goTo(address: string): Promise<void>;
  /** Evaluates an expression in the page; what it gives must be JSON. */
  evaluate<T>(expression: string): Promise<T>;
  /** Dialogues that the page has opened, and errors that it did not catch. */
  readonly heard: string[];
}

interface Message {
  id?: number;
  method?: string;
  params?: { message?: string; exceptionDetails?: { text: string } };
  result?: { result?: { value?: unknown } };
}

export async function openWindow(t: TestContext): Promise<Window> {
  const profile = mkdtempSync(join(tmpdir(), 'chromium-'));
  const { child, output, exited } = startProgram(t, 'chromium', [
    ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
    ...['--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank'],
  ]);
  atEnd(t, async () => {
    child.kill('SIGKILL');
    await exited;
    // Its helpers end a moment after it.
    rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  });
  const browser = await eventually('Chromium listens', () => /ws:\/\/[^\s/]+/.exec(output())?.[0]);
  const list = browser.replace('ws:', 'http:');
  const page = await eventually('a window is there', async () => {
    const targets = (await (await fetch(`${list}/json/list`)).json()) as {
      type: string;
      webSocketDebuggerUrl: string;
    }[];
    return targets.find(({ type }) => type === 'page');
  });
  const socket = new WebSocket(page.webSocketDebuggerUrl);
  await new Promise((resolve) => socket.addEventListener('open', resolve));
  atEnd(t, () => socket.close());
  const heard: string[] = [];
  const waiting = new Map<number, (message: Message) => void>();
  let last = 0;
  const send = (method: string, params: object = {}) =>
    new Promise<Message>((resolve) => {
      last += 1;
      waiting.set(last, resolve);
      socket.send(JSON.stringify({ id: last, method, params }));
    });
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(String(data)) as Message;
    if (message.id !== undefined) waiting.get(message.id)?.(message);
    if (message.method === 'Page.javascriptDialogOpening') {
      heard.push(`dialogue: ${message.params?.message}`);
      void send('Page.handleJavaScriptDialog', { accept: true });
    }
    if (message.method === 'Runtime.exceptionThrown')
      heard.push(`error: ${message.params?.exceptionDetails?.text}`);
  });
  await send('Page.enable');
  await send('Runtime.enable');
  return {
    heard,
    async goTo(address) {
      await send('Page.navigate', { url: address });
    },
    async evaluate<T>(expression: string) {
      const { result } = await send('Runtime.evaluate', { expression, returnByValue: true });
      return result?.result?.value as T;
    },
  };
}
