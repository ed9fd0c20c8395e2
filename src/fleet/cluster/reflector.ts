/**
 * Keeps a copy of one kind: lists it, watches from there, resumes after the last version seen, and lists again when the
 * server has forgotten it (410). The official client's informers stop at the first other error, ask for no bookmarks
 * and lose exceptions of their callbacks; these do not stop until told to.
 */

import { pause, type Query } from './connection.ts';
import { ClusterFailure } from './failure.ts';
import { type ListRequest, listAll, type Reader, whatOf } from './list.ts';
import { metaOf } from './project.ts';
import { pathOf } from './resources.ts';

export interface WatchingReader extends Reader {
  stream(
    what: string,
    path: string,
    query: Query,
    silenceMs: number,
    signal: AbortSignal,
    onLine: (line: string) => void,
  ): Promise<void>;
}

export interface ReflectorOptions<T> {
  readonly reader: WatchingReader;
  readonly request: ListRequest;
  readonly project: (object: unknown) => T;
  /** Something was added, changed or removed, or what is known of the failure changed. */
  readonly onChange: () => void;
  readonly signal: AbortSignal;
  /** Longest watch that is asked for, in seconds; the server ends it then. Default: 300. */
  readonly watchSeconds?: number;
  /** First pause after a failure, in milliseconds; doubled up to 30 s. Default: 500. */
  readonly pauseMs?: number;
}

interface WatchEvent {
  readonly type?: unknown;
  readonly object?: unknown;
}

const MAX_PAUSE_MS = 30_000;

export class Reflector<T> {
  readonly #options: ReflectorOptions<T>;
  #objects = new Map<string, T>();
  #version = '';
  #listed = false;
  #failure: ClusterFailure | undefined;
  #first: (() => void) | undefined;
  /** Resolves when the first list has come or has failed. */
  readonly ready: Promise<void>;
  readonly ended: Promise<void>;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.ready = new Promise((resolve) => {
      this.#first = resolve;
    });
    this.ended = this.#run();
  }

  get objects(): Iterable<T> {
    return this.#objects.values();
  }

  /** Why what is known may be old, or why nothing is; undefined while all is well. */
  get failure(): ClusterFailure | undefined {
    return this.#failure;
  }

  async #run(): Promise<void> {
    const { signal, pauseMs = 500 } = this.#options;
    let wait = pauseMs;
    while (!signal.aborted) {
      try {
        if (!this.#listed) await this.#list();
        this.#fail(undefined);
        this.#first?.();
        const before = this.#version;
        await this.#watch();
        // Servers end watches all the time; one that does so at once and without news must not be asked in a tight loop.
        if (this.#version === before) await pause(pauseMs, signal);
        wait = pauseMs;
      } catch (error) {
        if (signal.aborted) break;
        const failure =
          error instanceof ClusterFailure ? error : new ClusterFailure((error as Error).message, 0);
        if (failure.expired) {
          this.#listed = false;
          // The list that follows says whether something is wrong; a list that expires itself must not spin.
          await pause(Math.min(wait, 1_000), signal);
        } else {
          this.#fail(failure);
          this.#first?.();
          await pause(Math.max(wait * (0.75 + Math.random() / 2), failure.retryAfterMs ?? 0), signal);
        }
        wait = Math.min(wait * 2, MAX_PAUSE_MS);
      }
    }
    this.#first?.();
  }

  async #list(): Promise<void> {
    const { reader, request, project, signal } = this.#options;
    const { items, version } = await listAll(
      reader,
      request,
      signal,
      (item) => [keyOf(item), project(item)] as const,
    );
    this.#version = version;
    this.#objects = new Map(items);
    this.#listed = true;
    this.#options.onChange();
  }

  async #watch(): Promise<void> {
    const { reader, request, signal, watchSeconds = 300 } = this.#options;
    const query: Record<string, string> = {
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: this.#version,
      timeoutSeconds: String(watchSeconds),
    };
    if (request.selector !== undefined) query['labelSelector'] = request.selector;
    const what = whatOf(request, 'watch');
    // A connection that died without a word shows by silence beyond the end that was asked for.
    const silenceMs = watchSeconds * 1_000 + 10_000;
    let refused: ClusterFailure | undefined;
    const stop = new AbortController();
    try {
      await reader.stream(
        what,
        pathOf(request.resource, request.namespace),
        query,
        silenceMs,
        AbortSignal.any([signal, stop.signal]),
        (line) => {
          refused ??= this.#take(line, what);
          if (refused !== undefined) stop.abort();
        },
      );
    } catch (error) {
      throw refused ?? error;
    }
    if (refused !== undefined) throw refused;
  }

  /** @returns why the watch cannot go on */
  #take(line: string, what: string): ClusterFailure | undefined {
    let event: WatchEvent;
    try {
      event = (JSON.parse(line) as WatchEvent | null) ?? {};
    } catch {
      return new ClusterFailure(`cannot ${what}: the server sent a line that is no JSON`, 0, 'NotJson');
    }
    if (event.type === 'ERROR') {
      const status = (event.object ?? {}) as { code?: number; reason?: string; message?: string };
      return new ClusterFailure(
        `cannot ${what}: ${status.message ?? 'the server gave up'}`,
        status.code ?? 0,
        status.reason,
      );
    }
    const { resourceVersion } = metaOf(event.object);
    if (event.type === 'BOOKMARK') {
      if (resourceVersion !== '') this.#version = resourceVersion;
      return undefined;
    }
    const key = keyOf(event.object);
    if (event.type === 'DELETED') this.#objects.delete(key);
    else if (event.type === 'ADDED' || event.type === 'MODIFIED')
      this.#objects.set(key, this.#options.project(event.object));
    else return undefined;
    if (resourceVersion !== '') this.#version = resourceVersion;
    this.#options.onChange();
    return undefined;
  }

  #fail(failure: ClusterFailure | undefined): void {
    const changed = this.#failure?.message !== failure?.message;
    this.#failure = failure;
    if (changed) this.#options.onChange();
  }
}

function keyOf(object: unknown): string {
  const { namespace, name } = metaOf(object);
  return `${namespace}/${name}`;
}
