/**
 * The connection to one API server. Who we are is the official client's business: kubeconfig with certificates, exec
 * plugins and OIDC, or the pod's service account. Its typed API is not used: it makes a class instance of every field
 * of 20,000 pods, and a new connection pool for every request; requests here are plain JSON over one pool.
 */

import { Buffer } from 'node:buffer';
import type { KubeConfig } from '@kubernetes/client-node';
import type { Dispatcher } from 'undici';
import { ClusterFailure, refusal, silence } from './failure.ts';

export interface ConnectionOptions {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  /** For one answer, in milliseconds. Default: 30 000. */
  readonly timeoutMs?: number;
  readonly version: string;
}

export interface Answer {
  readonly body: unknown;
  readonly bytes: number;
}

export type Query = Readonly<Record<string, string>>;

/** Far above a page of 500 pods; a server that sends more is not one. */
const MAX_BODY = 64 * 1024 ** 2;
/** Tokens of service accounts rotate; client-node reads them again after a minute, too. */
const RENEW_MS = 60_000;
const ATTEMPTS = 4;

interface Credentials {
  readonly headers: Record<string, string>;
  readonly at: number;
}

export class ClusterConnection {
  readonly server: string;
  /** Name of the kubeconfig context's cluster. */
  readonly cluster: string;
  /** Namespace of the context; '' when it has none. */
  readonly namespace: string;
  readonly inCluster: boolean;
  readonly #options: ConnectionOptions;
  readonly #kube: KubeConfig;
  readonly #client: typeof import('@kubernetes/client-node');
  readonly #undici: typeof import('undici');
  #dispatcher: Dispatcher | undefined;
  #credentials: Credentials | undefined;

  private constructor(
    options: ConnectionOptions,
    kube: KubeConfig,
    client: typeof import('@kubernetes/client-node'),
    undici: typeof import('undici'),
    inCluster: boolean,
  ) {
    const cluster = kube.getCurrentCluster();
    if (cluster === null)
      throw new ClusterFailure('the kubeconfig names no cluster in its current context', 0);
    this.server = cluster.server.replace(/\/+$/, '');
    const context = kube.getContextObject(kube.getCurrentContext());
    this.cluster = inCluster ? 'cluster' : cluster.name;
    this.namespace = context?.namespace ?? '';
    this.inCluster = inCluster;
    this.#options = options;
    this.#kube = kube;
    this.#client = client;
    this.#undici = undici;
  }

  /** Nothing is sent yet. @throws ClusterFailure when there is no usable kubeconfig */
  static async open(
    options: ConnectionOptions,
    environment: Readonly<Record<string, string | undefined>>,
  ): Promise<ClusterConnection> {
    // Some 75 MiB of memory and half a second: only those who talk to a cluster pay for it.
    const [client, undici] = await Promise.all([import('@kubernetes/client-node'), import('undici')]);
    const kube = new client.KubeConfig();
    const inCluster =
      options.kubeconfig === undefined &&
      !environment['KUBECONFIG'] &&
      environment['KUBERNETES_SERVICE_HOST'] !== undefined;
    try {
      if (options.kubeconfig !== undefined) kube.loadFromFile(options.kubeconfig);
      else if (inCluster) kube.loadFromCluster();
      else kube.loadFromDefault();
      if (options.context !== undefined) {
        if (kube.getContextObject(options.context) === null) {
          const known = kube.getContexts().map(({ name }) => name);
          throw new Error(
            `there is no context "${options.context}"; there are: ${known.join(', ') || 'none'}`,
          );
        }
        kube.setCurrentContext(options.context);
      }
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const from = options.kubeconfig ?? environment['KUBECONFIG'] ?? 'the kubeconfig';
      throw new ClusterFailure(
        `${from}: ${code === 'ENOENT' ? 'there is no such file' : message.split('\n')[0]}`,
        0,
      );
    }
    return new ClusterConnection(options, kube, client, undici, inCluster);
  }

  /** Asks again, with a pause, what may pass: no answer, 429, 5xx. @throws ClusterFailure */
  async get(what: string, path: string, query: Query, signal: AbortSignal): Promise<Answer> {
    return await this.#withRetries(what, signal, () =>
      this.#json('GET', what, path, query, undefined, signal),
    );
  }

  /** Once; the caller knows what a second try would mean. @throws ClusterFailure */
  async put(what: string, path: string, body: unknown, signal: AbortSignal): Promise<Answer> {
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
    await this.#dispatcher?.destroy();
  }

  async #withRetries<T>(what: string, signal: AbortSignal, once: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await once();
      } catch (error) {
        const failure = silence(what, this.server, error);
        if (failure.status === 401 && attempt === 1) {
          this.#credentials = undefined;
          continue;
        }
        // A server that does not exist stays away; that is no reason to make a person wait.
        const hopeless = !failure.passing || ['ECONNREFUSED', 'ENOTFOUND'].includes(failure.reason);
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
  ): Promise<Answer> {
    const timeoutMs = this.#options.timeoutMs ?? 30_000;
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    const response = await this.#send(method, what, path, query, body, bounded, timeoutMs);
    try {
      const text = await readBounded(response.body, MAX_BODY);
      return { body: JSON.parse(text) as unknown, bytes: text.length };
    } catch (error) {
      if (error instanceof SyntaxError) {
        throw new ClusterFailure(
          `cannot ${what}: ${this.server} answered something that is no JSON; is it an API server?`,
          0,
          'NotJson',
        );
      }
      throw silence(what, this.server, error);
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
      const headers = await this.#headers(path);
      const response = await this.#undici.request(
        `${this.server}${path}${search === '' ? '' : `?${search}`}`,
        {
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
          ...(this.#dispatcher === undefined ? {} : { dispatcher: this.#dispatcher }),
        },
      );
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

  async #headers(path: string): Promise<Record<string, string>> {
    const now = performance.now();
    if (this.#credentials !== undefined && now - this.#credentials.at < RENEW_MS)
      return this.#credentials.headers;
    const { RequestContext, HttpMethod } = this.#client;
    const context = new RequestContext(`${this.server}${path}`, HttpMethod.GET);
    try {
      await this.#kube.applySecurityAuthentication(context);
    } catch (error) {
      const message = (error as Error).message.split('\n')[0]!;
      const advice = message.startsWith('HTTP protocol is not allowed')
        ? 'the server is plain http; set insecure-skip-tls-verify in the kubeconfig to allow that'
        : message;
      throw new ClusterFailure(`cannot sign in to ${this.server}: ${advice}`, 401, 'Credentials');
    }
    // The client makes a new pool each time. One is kept, with the certificates of the first time.
    const dispatcher = context.getDispatcher() as Dispatcher | undefined;
    if (this.#dispatcher === undefined) this.#dispatcher = dispatcher;
    else await dispatcher?.destroy();
    this.#credentials = { headers: context.getHeaders() as Record<string, string>, at: now };
    return this.#credentials.headers;
  }
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
