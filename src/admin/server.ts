/** The admin port: the status page, probes, metrics and status; and, for whoever has the token, actions. */

import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { ConnectionCount } from '../admission/connection-count.ts';
import type { Logger } from '../observe/log.ts';
import { type AccessRefusal, refuseForeign, type TokenGate } from './access.ts';
import { ACTION_NAMES, type ActionAnswer, type Actions, isAction } from './actions.ts';
import type { LiveStream } from './live-stream.ts';
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
  readonly page?: {
    readonly document: () => Promise<string>;
    /** Content-Security-Policy. */
    readonly policy: string;
    readonly live: LiveStream;
  };
  /** Where a request would go; changes nothing, so nobody needs a token for it. */
  readonly explain?: (body: unknown) => ActionAnswer;
  readonly acting?: { readonly gate: TokenGate; readonly actions: Actions };
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

const ACTIONS_PATH = '/actions/';
/** What an action may need to be told. */
const MAX_BODY = 16 * 1024;

const TEXT = 'text/plain; charset=utf-8';
const JSON_TYPE = 'application/json';
/** Kubelet, Prometheus and people: more connections than this are somebody's mistake, or meant to keep probes out. */
const MAX_CONNECTIONS = 256;
const MAX_CONNECTIONS_PER_CLIENT = 64;
const CLOSE_GRACE_MS = 500;

export class AdminServer {
  readonly #options: AdminServerOptions;
  readonly #server: http.Server;
  readonly #connections = new ConnectionCount();
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
    this.#server.on('connection', (socket) => this.#onConnection(socket));
    // Those that come next find room, and those that have something to ask come again.
    this.#server.on('drop', () => this.#server.closeIdleConnections());
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
    this.#options.page?.live.close();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#server.closeAllConnections(), CLOSE_GRACE_MS);
      this.#server.close(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** One that has more than its part is closed at once, so that there is room for probes whatever it does. */
  #onConnection(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    if (!this.#connections.add(address, MAX_CONNECTIONS_PER_CLIENT)) {
      socket.destroy();
      return;
    }
    socket.once('close', () => this.#connections.remove(address));
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: Answer | undefined;
    try {
      answer = await this.#answer(request, response);
    } catch (error) {
      this.#options.log.error({ err: error, path: pathOf(request) }, 'admin request failed');
      answer = text(500, 'internal error; the log says more\n');
    }
    if (answer === undefined || response.destroyed) return;
    response.writeHead(answer.status, {
      'content-type': answer.contentType,
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      ...answer.headers,
      // A body that was not read to its end leaves nothing to be used again.
      ...(hasBody(request) && !request.readableEnded ? { connection: 'close' } : {}),
      'content-length': Buffer.byteLength(answer.body),
    });
    response.end(request.method === 'HEAD' ? undefined : answer.body);
  }

  /** Undefined: the response is a stream that was begun. */
  #answer(
    request: IncomingMessage,
    response: ServerResponse,
  ): Answer | undefined | Promise<Answer | undefined> {
    const path = pathOf(request);
    if (path === '/explain' || path.startsWith(ACTIONS_PATH)) return this.#post(request, path);
    if (path !== '/' && path !== '/events' && !Object.hasOwn(PATHS, path)) {
      return text(404, `nothing is at this path; there are:\n${index()}`);
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      const refusal = text(405, 'only GET and HEAD are answered here; what acts is below /actions/\n');
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
      case '/events':
        return this.#events(request, response);
      default:
        return this.#front(request);
    }
  }

  /** The page for browsers, the list of paths for tools. */
  async #front(request: IncomingMessage): Promise<Answer> {
    const { page } = this.#options;
    if (page === undefined || !/\btext\/html\b/.test(request.headers.accept ?? '')) {
      return { ...text(200, `Pointsman\n\n${index()}`), headers: { vary: 'accept' } };
    }
    return {
      status: 200,
      contentType: 'text/html; charset=utf-8',
      body: await page.document(),
      headers: {
        vary: 'accept',
        'content-security-policy': page.policy,
        'referrer-policy': 'no-referrer',
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-resource-policy': 'same-origin',
        'x-frame-options': 'DENY',
      },
    };
  }

  #events(request: IncomingMessage, response: ServerResponse): Answer | undefined {
    const live = this.#options.page?.live;
    if (live === undefined) return text(404, 'there is no page here\n');
    if (request.method === 'HEAD') return { ...text(200, ''), contentType: 'text/event-stream' };
    if (live.add(response)) return undefined;
    return { ...text(503, 'too many watch already; try again later\n'), headers: { 'retry-after': '10' } };
  }

  async #post(request: IncomingMessage, path: string): Promise<Answer> {
    const { acting, explain } = this.#options;
    const name = path.slice(ACTIONS_PATH.length);
    if (path !== '/explain' && !isAction(name)) {
      return refusal({
        status: 404,
        message: `there is no action ${name}; there are: ${ACTION_NAMES.join(', ')}`,
      });
    }
    if (request.method !== 'POST') {
      return refusal({ status: 405, message: 'only POST is answered here', headers: { allow: 'POST' } });
    }
    const foreign = refuseForeign(request.headers);
    if (foreign !== undefined) return refusal(foreign);
    const from = request.socket.remoteAddress ?? '';
    // Judged before a byte of the body is read.
    if (path !== '/explain') {
      if (acting === undefined) return refusal({ status: 404, message: 'nobody may act here' });
      const refused = acting.gate.refuse(request.headers.authorization, from);
      if (refused !== undefined) return refusal(refused);
    }
    const body = await readJson(request);
    if ('refusal' in body) return refusal(body.refusal);
    if (path === '/explain') {
      if (explain === undefined) return refusal({ status: 404, message: 'nothing is explained here' });
      const { status, body: answer } = explain(body.value);
      return json(status, answer);
    }
    const { status, body: answer } = await acting!.actions.run(
      name as (typeof ACTION_NAMES)[number],
      body.value,
      from,
    );
    return json(status, answer);
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

/** At most `MAX_BODY`; `requestTimeout` bounds how long it may take. */
async function readJson(
  request: IncomingMessage,
): Promise<{ readonly value: unknown } | { readonly refusal: AccessRefusal }> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > MAX_BODY) return { refusal: { status: 413, message: `the body is over ${MAX_BODY} bytes` } };
    chunks.push(chunk as Buffer);
  }
  try {
    return { value: JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown };
  } catch {
    return { refusal: { status: 400, message: 'the body is no JSON' } };
  }
}

function refusal({ status, message, headers }: AccessRefusal): Answer {
  return { ...json(status, { ok: false, message }), ...(headers === undefined ? {} : { headers }) };
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
