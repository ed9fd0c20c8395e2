/** The admin port: probes, metrics and status. Nothing that can be asked here changes anything. */

import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from '../observe/log.ts';
import { describeListenError } from './port-owner.ts';
import type { StatusDocument } from './status.ts';

export interface Readiness {
  readonly ok: boolean;
  /** Why not, one short sentence each; empty when ready. */
  readonly reasons: readonly string[];
}

export interface AdminServerOptions {
  readonly probes: { ready(): Readiness };
  readonly metrics: () => Promise<{ contentType: string; body: string }>;
  readonly status: () => StatusDocument | Promise<StatusDocument>;
  readonly log: Pick<Logger, 'error'>;
}

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const PATHS: Readonly<Record<string, string>> = {
  '/livez': 'the process answers',
  '/readyz': 'it can take traffic: 200, or 503 with the reasons',
  '/metrics': 'metrics for Prometheus',
  '/status': 'configuration, routes, backends and endpoints as JSON',
};

const TEXT = 'text/plain; charset=utf-8';
const JSON_TYPE = 'application/json';
/** Kubelet, Prometheus and people: more connections than this are somebody's mistake. */
const MAX_CONNECTIONS = 256;
const CLOSE_GRACE_MS = 500;

export class AdminServer {
  readonly #options: AdminServerOptions;
  readonly #server: http.Server;
  #rendering: Promise<Answer> | undefined;

  constructor(options: AdminServerOptions) {
    this.#options = options;
    this.#server = http.createServer(
      {
        maxHeaderSize: 8 * 1024,
        headersTimeout: 5_000,
        requestTimeout: 10_000,
        keepAliveTimeout: 15_000,
        connectionsCheckingInterval: 2_000,
      },
      (request, response) => void this.#handle(request, response),
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.maxHeadersCount = 100;
  }

  /** Rejects with an Error whose message says why, and who has the port if that can be found out. */
  listen(address: { readonly host: string; readonly port: number }): Promise<{ host: string; port: number }> {
    const { host, port } = address;
    return new Promise((resolve, reject) => {
      const onError = (error: Error) => {
        const why = describeListenError(error, host, port);
        reject(new Error(`cannot open the admin port: ${why}`, { cause: error }));
      };
      this.#server.once('error', onError);
      // Exclusive: in a cluster only the primary serves this port, and never through a worker's shared handle.
      this.#server.listen({ host, port, exclusive: true }, () => {
        this.#server.off('error', onError);
        // What can still go wrong while accepting (no descriptors left) passes; it must not end the process.
        this.#server.on('error', (error) => this.#options.log.error({ err: error }, 'admin port'));
        const bound = this.#server.address() as AddressInfo;
        resolve({ host: bound.address, port: bound.port });
      });
    });
  }

  /** Answers under way may end within half a second; idle connections are closed at once. */
  close(): Promise<void> {
    if (!this.#server.listening) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#server.closeAllConnections(), CLOSE_GRACE_MS);
      this.#server.close(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: Answer;
    try {
      answer = await this.#answer(request);
    } catch (error) {
      this.#options.log.error({ err: error, path: pathOf(request) }, 'admin request failed');
      answer = text(500, 'internal error; the log says more\n');
    }
    response.writeHead(answer.status, {
      'content-type': answer.contentType,
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      ...answer.headers,
      // A body is never read, so the connection cannot be used again after one.
      ...(hasBody(request) ? { connection: 'close' } : {}),
      'content-length': Buffer.byteLength(answer.body),
    });
    response.end(request.method === 'HEAD' ? undefined : answer.body);
  }

  #answer(request: IncomingMessage): Answer | Promise<Answer> {
    const path = pathOf(request);
    if (path !== '/' && !Object.hasOwn(PATHS, path)) {
      return text(404, `nothing is at this path; there are:\n${index()}`);
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      const refusal = text(405, 'only GET and HEAD are answered here; nothing can be changed\n');
      return { ...refusal, headers: { allow: 'GET, HEAD' } };
    }
    switch (path) {
      case '/livez':
        return text(200, 'ok\n');
      case '/readyz':
        return this.#ready();
      case '/metrics':
        // Scrapes at the same time share one rendering, so that many scrapers cost no more than one.
        this.#rendering ??= this.#metrics().finally(() => {
          this.#rendering = undefined;
        });
        return this.#rendering;
      case '/status':
        return this.#status();
      default:
        return text(200, `Pointsman\n\n${index()}`);
    }
  }

  #ready(): Answer {
    const { ok, reasons } = this.#options.probes.ready();
    return ok ? text(200, 'ready\n') : json(503, { ready: false, reasons });
  }

  async #metrics(): Promise<Answer> {
    const { contentType, body } = await this.#options.metrics();
    return { status: 200, contentType, body };
  }

  async #status(): Promise<Answer> {
    return json(200, await this.#options.status());
  }
}

function pathOf(request: IncomingMessage): string {
  const target = request.url ?? '/';
  const query = target.indexOf('?');
  return query === -1 ? target : target.slice(0, query);
}

function hasBody(request: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers;
  return encoding !== undefined || (length !== undefined && length !== '0');
}

function index(): string {
  return Object.entries(PATHS)
    .map(([path, what]) => `${path.padEnd(10)}${what}\n`)
    .join('');
}

function text(status: number, body: string): Answer {
  return { status, contentType: TEXT, body };
}

function json(status: number, value: unknown): Answer {
  return { status, contentType: JSON_TYPE, body: `${JSON.stringify(value, undefined, 2)}\n` };
}
