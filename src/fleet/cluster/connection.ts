/** The connection to one API server: plain JSON over one pool, with who we are from the official client. */

import { Buffer } from 'node:buffer';
import { Agent, type Dispatcher, ProxyAgent, request } from 'undici';
import { type Credentials, currentHeaders, findCredentials } from './credentials.ts';
import { ClusterFailure, isDistrust, refusal, silence } from './failure.ts';
import { ItemSplitter } from './item-splitter.ts';

export interface ConnectionOptions {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  /** For one answer, in milliseconds. Default: 30 000. */
  readonly timeoutMs?: number;
  readonly version: string;
}

export type Query = Readonly<Record<string, string>>;

/** Far above a page of 500 pods; a server that sends more is not one. */
const MAX_BODY = 64 * 1024 ** 2;
/** Tokens in files rotate. As long as client-node holds on to one. */
const REREAD_MS = 60_000;
/** Tokens of plugins live for a quarter of an hour at least; the plugin itself keeps one while it is good. */
const RENEW_MS = 10 * 60_000;
const ATTEMPTS = 4;
const STAYS: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'Timeout', 'NotJson']);

type Environment = Readonly<Record<string, string | undefined>>;

export class ClusterConnection {
  readonly server: string;
  /** Name of the kubeconfig context's cluster. */
  readonly cluster: string;
  /** Namespace of the context; '' when it has none. */
  readonly namespace: string;
  readonly inCluster: boolean;
  readonly #options: ConnectionOptions;
  readonly #environment: Environment;
  #credentials: Credentials;
  #dispatcher: Dispatcher;
  #headers: Promise<Record<string, string>> | undefined;
  #foundAt = performance.now();
  #readAt = Number.NEGATIVE_INFINITY;

  private constructor(options: ConnectionOptions, environment: Environment, credentials: Credentials) {
    this.server = credentials.server;
    this.cluster = credentials.cluster;
    this.namespace = credentials.namespace;
    this.inCluster = credentials.inCluster;
    this.#options = options;
    this.#environment = environment;
    this.#credentials = credentials;
    this.#dispatcher = dispatcherOf(credentials);
  }

  /** Nothing is sent yet. @throws ClusterFailure when there is no usable kubeconfig */
  static async open(options: ConnectionOptions, environment: Environment): Promise<ClusterConnection> {
    return new ClusterConnection(
      options,
      environment,
      await findCredentials(requestOf(options), environment),
    );
  }

  /** Asks again, with a pause, what may pass: no answer, 429, 5xx. @throws ClusterFailure */
  async get(what: string, path: string, query: Query, signal: AbortSignal): Promise<unknown> {
    return await this.#withRetries(what, signal, () =>
      this.#json('GET', what, path, query, undefined, signal),
    );
  }

  /**
   * A list's page. Every item goes through `project` as it arrives; when the page breaks off, it is asked for again.
   *
   * @returns the page without its items, and what `project` made of them
   * @throws ClusterFailure
   */
  async page<T>(
    what: string,
    path: string,
    query: Query,
    signal: AbortSignal,
    project: (item: unknown) => T,
  ): Promise<{ readonly body: unknown; readonly items: T[] }> {
    return await this.#withRetries(what, signal, async () => {
      const timeoutMs = this.#options.timeoutMs ?? 30_000;
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
      const response = await this.#send('GET', what, path, query, undefined, bounded, timeoutMs);
      const items: T[] = [];
      try {
        const splitter = new ItemSplitter((text) => void items.push(project(JSON.parse(text))));
        for await (const chunk of response.body) splitter.push(chunk as Buffer);
        return { body: splitter.end(), items };
      } catch (error) {
        throw error instanceof SyntaxError ? this.#notJson(what) : silence(what, this.server, error);
      }
    });
  }

  #notJson(what: string): ClusterFailure {
    const message = `cannot ${what}: ${this.server} answered something that is no JSON; is it an API server?`;
    return new ClusterFailure(message, 0, 'NotJson');
  }

  /** Once; the caller knows what a second try would mean. @throws ClusterFailure */
  async put(what: string, path: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    return await this.#json('PUT', what, path, {}, JSON.stringify(body), signal);
  }

  /**
   * Opens a watch and calls `onLine` with every line, until the server ends it. The promise of `onLine` is waited for.
   *
   * @throws ClusterFailure when it is refused, or cut, or silent for longer than `silenceMs`
   */
  async stream(
    what: string,
    path: string,
    query: Query,
    silenceMs: number,
    signal: AbortSignal,
    onLine: (line: string) => void,
  ): Promise<void> {
    const response = await this.#send('GET', what, path, query, undefined, signal, silenceMs);
    try {
      let rest = '';
      const decoder = new TextDecoder();
      for await (const chunk of response.body) {
        rest += decoder.decode(chunk as Buffer, { stream: true });
        let from = 0;
        for (let end = rest.indexOf('\n'); end !== -1; end = rest.indexOf('\n', from)) {
          if (end > from) onLine(rest.slice(from, end));
          from = end + 1;
        }
        rest = rest.slice(from);
        if (rest.length > MAX_BODY) throw new ClusterFailure(`cannot ${what}: one event is over 64 MiB`, 0);
      }
    } catch (error) {
      throw silence(what, this.server, error);
    }
  }

  async close(): Promise<void> {
    await this.#dispatcher.destroy();
  }

  async #withRetries<T>(what: string, signal: AbortSignal, once: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await once();
      } catch (error) {
        const failure = silence(what, this.server, error);
        if (failure.status === 401 && attempt === 1) {
          this.#foundAt = Number.NEGATIVE_INFINITY;
          this.#headers = undefined;
          continue;
        }
        // A server that does not exist, hangs or is none stays so; that is no reason to make a person wait longer.
        const hopeless = !failure.passing || STAYS.has(failure.reason) || isDistrust(failure.reason);
        if (hopeless || attempt >= ATTEMPTS || signal.aborted) throw failure;
        const wait = Math.min(failure.retryAfterMs ?? 100 * 3 ** attempt, 10_000);
        await pause(wait * (0.75 + Math.random() / 2), signal);
        if (signal.aborted) throw failure;
      }
    }
  }

  async #json(
    method: 'GET' | 'PUT',
    what: string,
    path: string,
    query: Query,
    body: string | undefined,
    signal: AbortSignal,
  ): Promise<unknown> {
    const timeoutMs = this.#options.timeoutMs ?? 30_000;
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    const response = await this.#send(method, what, path, query, body, bounded, timeoutMs);
    try {
      const text = await readBounded(response.body, MAX_BODY);
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw error instanceof SyntaxError ? this.#notJson(what) : silence(what, this.server, error);
    }
  }

  async #send(
    method: 'GET' | 'PUT',
    what: string,
    path: string,
    query: Query,
    body: string | undefined,
    signal: AbortSignal,
    timeoutMs: number,
  ) {
    const search = new URLSearchParams(query).toString();
    try {
      const headers = await this.#currentHeaders();
      const response = await request(`${this.server}${path}${search === '' ? '' : `?${search}`}`, {
        method,
        headers: {
          ...headers,
          accept: 'application/json',
          'user-agent': `pointsman-fleet/${this.#options.version}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        body: body ?? null,
        signal,
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        dispatcher: this.#dispatcher,
      });
      if (response.statusCode >= 200 && response.statusCode < 300) return response;
      const text = await readBounded(response.body, 64 * 1024);
      const retryAfter = response.headers['retry-after'];
      throw refusal(
        what,
        this.server,
        response.statusCode,
        text,
        typeof retryAfter === 'string' ? retryAfter : undefined,
      );
    } catch (error) {
      throw silence(what, this.server, error);
    }
  }

  #currentHeaders(): Promise<Record<string, string>> {
    const now = performance.now();
    if (this.#headers === undefined || now - this.#readAt > REREAD_MS) {
      this.#readAt = now;
      // Many requests at once wait for the same answer; a failure is not kept.
      this.#headers = this.#renew(now).catch((error: unknown) => {
        this.#headers = undefined;
        throw error;
      });
    }
    return this.#headers;
  }

  async #renew(now: number): Promise<Record<string, string>> {
    const { tokenFile } = this.#credentials;
    if (
      now - this.#foundAt > RENEW_MS &&
      (tokenFile === undefined || this.#foundAt === Number.NEGATIVE_INFINITY)
    ) {
      const before = this.#credentials;
      this.#credentials = await findCredentials(requestOf(this.#options), this.#environment);
      this.#foundAt = now;
      if (JSON.stringify(before.tls) !== JSON.stringify(this.#credentials.tls)) {
        // Watches that run on the old one end in order.
        void this.#dispatcher.close().catch(() => {});
        this.#dispatcher = dispatcherOf(this.#credentials);
      }
    }
    return await currentHeaders(this.#credentials);
  }
}

function requestOf({ kubeconfig, context }: ConnectionOptions) {
  return { kubeconfig: kubeconfig ?? null, context: context ?? null };
}

function dispatcherOf({ tls, proxy }: Credentials): Dispatcher {
  const connect = { ...tls, keepAlive: true, keepAliveInitialDelay: 30_000 } as NonNullable<
    Agent.Options['connect']
  >;
  return proxy === undefined
    ? new Agent({ connect })
    : new ProxyAgent({ uri: proxy, requestTls: tls as object });
}

async function readBounded(body: AsyncIterable<unknown>, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += (chunk as Buffer).length;
    if (size > limit) throw new Error(`the answer is over ${limit} bytes`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Ends early, without an error, when `signal` does. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
