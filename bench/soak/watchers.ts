/** People who keep the status page open: events must keep coming. */

import { get, type IncomingMessage } from 'node:http';

export interface Watchers {
  readonly events: number;
  stop(): void;
}

/** The page is told once a second. */
const PATIENCE_MS = 15_000;

/** @param onFailure what went wrong; a watcher that failed comes back */
export function startWatchers(adminPort: number, count: number, onFailure: (what: string) => void): Watchers {
  let stopped = false;
  let events = 0;
  const open = new Set<() => void>();
  const watch = () => {
    if (stopped) return;
    let over = false;
    let response: IncomingMessage | undefined;
    const end = (what?: string) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      open.delete(end);
      request.destroy();
      if (stopped || what === undefined) return;
      onFailure(`a watcher of the status page: ${what}`);
      setTimeout(watch, 1_000);
    };
    const timer = setTimeout(() => end(`no event for ${PATIENCE_MS / 1_000} s`), PATIENCE_MS);
    const request = get({ host: '127.0.0.1', port: adminPort, path: '/events', agent: false }, (incoming) => {
      response = incoming;
      if (response.statusCode !== 200) end(`answered ${response.statusCode}`);
      response.on('data', (chunk: Buffer) => {
        if (!chunk.includes('event:')) return;
        events += 1;
        timer.refresh();
      });
      response.once('error', (error) => end(error.message));
      response.once('end', () => end('the stream ended'));
    });
    request.on('error', (error) => end(error.message));
    open.add(end);
  };
  for (let index = 0; index < count; index += 1) watch();
  return {
    get events() {
      return events;
    },
    stop() {
      stopped = true;
      for (const end of [...open]) end();
    },
  };
}
