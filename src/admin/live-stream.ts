/**
 * The page kept up to date by server-sent events: what changed, once a second and for all who watch at once. Nothing is
 * made while nobody does.
 */
import type { ServerResponse } from 'node:http';

/** Parts of the page by the id of their element. */
export type Parts = ReadonlyMap<string, string>;

export interface LiveEdges {
  readonly render: () => Promise<Parts>;
  readonly now: () => number;
  readonly onError: (error: unknown) => void;
}

/** People who look at one replica at once. */
export const MAX_WATCHERS = 16;
const TICK_MS = 1_000;
/** Who takes so little is gone or asleep; he connects again when he is back. */
const MAX_BUFFERED = 2 * 1024 ** 2;

export class LiveStream {
  readonly #edges: LiveEdges;
  readonly #watchers = new Set<ServerResponse>();
  #sent: Parts = new Map();
  #timer: NodeJS.Timeout | undefined;
  #rendering = false;

  constructor(edges: LiveEdges) {
    this.#edges = edges;
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  /** False when there are too many already; nothing was written then. */
  add(response: ServerResponse): boolean {
    if (this.#watchers.size >= MAX_WATCHERS) return false;
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      // nginx would hold events back.
      'x-accel-buffering': 'no',
    });
    response.write('retry: 2000\n\n');
    this.#watchers.add(response);
    response.on('close', () => {
      this.#watchers.delete(response);
      if (this.#watchers.size === 0) this.#stop();
    });
    response.on('error', () => {});
    // Whole at first: what it missed is not known.
    this.#sent = new Map();
    void this.#tick();
    this.#timer ??= setInterval(() => void this.#tick(), TICK_MS);
    return true;
  }

  close(): void {
    this.#stop();
    for (const watcher of this.#watchers) watcher.end();
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #tick(): Promise<void> {
    if (this.#rendering) return;
    this.#rendering = true;
    try {
      const parts = await this.#edges.render();
      const changed = [...parts].filter(([id, text]) => this.#sent.get(id) !== text);
      this.#sent = parts;
      const data = { now: this.#edges.now(), parts: Object.fromEntries(changed) };
      this.#send(`event: parts\ndata: ${JSON.stringify(data)}\n\n`);
    } catch (error) {
      this.#edges.onError(error);
    } finally {
      this.#rendering = false;
    }
  }

  #send(text: string): void {
    for (const watcher of this.#watchers) {
      if (watcher.writableLength > MAX_BUFFERED) watcher.destroy();
      else watcher.write(text);
    }
  }
}
