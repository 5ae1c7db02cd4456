import type { Request, Response } from 'express';

export interface EventStreamOptions<View> {
  /** Calls the listener with the Series Instance UID of each series that changed; returns how to stop. */
  onChange(listener: (series: string) => void): () => void;
  /** What is sent about a series; undefined when it is gone. */
  view(series: string): View | undefined;
  /** Changes of one series within this time are sent once. */
  coalesceMs?: number;
  heartbeatMs?: number;
  maxClients?: number;
}

export interface EventStream {
  handle(request: Request, response: Response): void;
  clients(): number;
  /** Ends every open stream. */
  close(): void;
}

/** A client that has not taken so many bytes is cut off; its browser comes again and reads everything anew. */
const BACKLOG_BYTES = 1024 * 1024;

/**
 * Server-sent events (WHATWG HTML 9.2): `event: series`, `data:` the series' view in JSON; `event: gone`
 * for one that is here no more. A new connection should
 * read the whole list itself; only changes come here.
 */
export function createEventStream<View>(options: EventStreamOptions<View>): EventStream {
  const { coalesceMs = 200, heartbeatMs = 15_000, maxClients = 100 } = options;
  const clients = new Set<Response>();
  const changed = new Set<string>();
  let pending: NodeJS.Timeout | undefined;

  const send = (text: string) => {
    for (const client of clients) {
      client.write(text);
      if (client.writableLength > BACKLOG_BYTES) client.destroy();
    }
  };
  const flush = () => {
    pending = undefined;
    for (const series of changed) {
      const view = options.view(series);
      if (view !== undefined) send(`event: series\ndata: ${JSON.stringify(view)}\n\n`);
      else send(`event: gone\ndata: ${JSON.stringify({ series })}\n\n`);
    }
    changed.clear();
  };
  const stop = options.onChange((series) => {
    if (clients.size === 0) return;
    changed.add(series);
    pending ??= setTimeout(flush, coalesceMs);
  });
  const heartbeat = setInterval(() => send(': still here\n\n'), heartbeatMs);
  heartbeat.unref();

  return {
    handle(request, response) {
      if (clients.size >= maxClients) {
        response.status(503).set('Retry-After', '10').json({ error: 'too many pages are open' });
        return;
      }
      response.status(200).set({ 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' });
      response.write('retry: 2000\nevent: hello\ndata: {}\n\n');
      clients.add(response);
      request.on('close', () => clients.delete(response));
    },
    clients: () => clients.size,
    close() {
      stop();
      clearInterval(heartbeat);
      clearTimeout(pending);
      for (const client of clients) client.end();
      clients.clear();
    },
  };
}
