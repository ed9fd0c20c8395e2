/** Page, JSON, metrics and probes, and where agents send their reports. */

import { createHash, timingSafeEqual } from 'node:crypto';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { reportSchema } from '../report.ts';
import type { Clusters } from './clusters.ts';
import { fleetMetrics } from './metrics.ts';
import { PAGE_POLICY, renderPage } from './page.ts';

export interface FleetServerOptions {
  readonly clusters: Clusters;
  /** Tokens by cluster; an agent may report for its own cluster alone. Empty: nobody may. */
  readonly tokens: () => ReadonlyMap<string, string>;
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  readonly version: string;
  readonly now: () => number;
  readonly onReport: (cluster: string, result: string) => void;
}

/** Of a report, compressed and not: 500 services with all their findings are below 1 MiB. */
const MAX_COMPRESSED = 2 * 1024 ** 2;
const MAX_REPORT = 16 * 1024 ** 2;
const REFRESH_SECONDS = 10;
const MAX_CONNECTIONS = 256;
/** Reports read at once; each may be 16 MiB. */
const MAX_READING = 8;

const unzip = promisify(gunzip);

export class FleetServer {
  readonly #options: FleetServerOptions;
  readonly #server: http.Server | https.Server;
  #reading = 0;

  constructor(options: FleetServerOptions) {
    this.#options = options;
    const limits = {
      maxHeaderSize: 8 * 1024,
      headersTimeout: 5_000,
      requestTimeout: 30_000,
      keepAliveTimeout: 15_000,
    };
    const serve = (request: IncomingMessage, response: ServerResponse) => {
      this.#serve(request, response).catch((error: Error) => {
        if (!response.headersSent)
          answer(response, 500, 'text/plain; charset=utf-8', `failed: ${error.name}\n`);
        else response.destroy();
      });
    };
    this.#server =
      options.tls === undefined
        ? http.createServer(limits, serve)
        : https.createServer({ ...limits, ...options.tls, minVersion: 'TLSv1.2' }, serve);
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  listen(host: string, port: number): Promise<{ readonly host: string; readonly port: number }> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        this.#server.on('error', () => {});
        const bound = this.#server.address() as AddressInfo;
        resolve({ host: bound.address, port: bound.port });
      });
    });
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const timer = setTimeout(() => this.#server.closeAllConnections(), 1_000);
    await closed;
    clearTimeout(timer);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { clusters, version, now } = this.#options;
    const path = (request.url ?? '/').split('?')[0];
    if (path === '/agents/report') return await this.#take(request, response);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return answer(response, 405, TEXT, 'only GET and HEAD\n', { allow: 'GET, HEAD' });
    }
    switch (path) {
      case '/':
        return answer(
          response,
          200,
          'text/html; charset=utf-8',
          renderPage(clusters.states(), {
            now: now(),
            version,
            refreshSeconds: REFRESH_SECONDS,
          }),
          {
            'content-security-policy': PAGE_POLICY,
            'x-content-type-options': 'nosniff',
            'referrer-policy': 'no-referrer',
          },
        );
      case '/report': {
        const states = clusters.states().map(({ cluster, report, receivedAt, silent, remote }) => ({
          cluster,
          receivedAt: new Date(receivedAt).toISOString(),
          remote,
          silent,
          report,
        }));
        return answer(response, 200, 'application/json', `${JSON.stringify({ clusters: states })}\n`);
      }
      case '/metrics': {
        const { contentType, body } = await fleetMetrics(clusters.states());
        return answer(response, 200, contentType, body);
      }
      case '/livez':
        return answer(response, 200, TEXT, 'ok\n');
      case '/readyz': {
        const ready = clusters.states().length > 0 || this.#options.tokens().size > 0;
        return answer(response, ready ? 200 : 503, TEXT, ready ? 'ok\n' : 'no survey yet\n');
      }
      default:
        return answer(
          response,
          404,
          TEXT,
          'there is: / /report /metrics /livez /readyz, and POST /agents/report\n',
        );
    }
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'POST') return answer(response, 405, TEXT, 'only POST\n', { allow: 'POST' });
    const cluster = String(request.headers['x-pointsman-cluster'] ?? '');
    // Judged before a byte of the body is read: without a token nobody makes us read 16 MiB.
    if (!this.#mayReport(cluster, request.headers.authorization ?? '')) {
      return refuse(request, response, 401, 'the token is not the one of this cluster\n', {
        'www-authenticate': 'Bearer',
      });
    }
    if (this.#reading >= MAX_READING)
      return refuse(request, response, 503, 'too many reports at once\n', { 'retry-after': '5' });
    this.#reading++;
    try {
      const { status, text, result } = await this.#read(request, cluster);
      this.#options.onReport(cluster, result);
      if (status >= 400) return refuse(request, response, status, text);
      return answer(response, status, TEXT, text);
    } finally {
      this.#reading--;
    }
  }

  async #read(
    request: IncomingMessage,
    cluster: string,
  ): Promise<{ readonly status: number; readonly text: string; readonly result: string }> {
    const bad = (status: number, text: string) => ({ status, text: `${text}\n`, result: text });
    const encoding = request.headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'gzip')
      return bad(415, 'the body must be JSON, plain or gzip');
    const chunks: Buffer[] = [];
    let size = 0;
    const most = encoding === 'gzip' ? MAX_COMPRESSED : MAX_REPORT;
    for await (const chunk of request) {
      size += (chunk as Buffer).length;
      if (size > most) return bad(413, `the report is over ${most} bytes`);
      chunks.push(chunk as Buffer);
    }
    let json: unknown;
    try {
      const body = Buffer.concat(chunks);
      const plain = encoding === 'gzip' ? await unzip(body, { maxOutputLength: MAX_REPORT }) : body;
      json = JSON.parse(plain.toString('utf8'));
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
        ? bad(413, `the report is over ${MAX_REPORT} bytes`)
        : bad(400, 'the report is no JSON');
    }
    const parsed = reportSchema.safeParse(json);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      return bad(
        422,
        `the report does not fit: ${issue?.path.join('.')}: ${issue?.message}; are agent and server of the same version?`,
      );
    }
    if (parsed.data.cluster !== cluster) return bad(403, 'the report is of another cluster than the token');
    const result = this.#options.clusters.take(parsed.data);
    if (result === 'full') return bad(507, 'no room for another cluster');
    if (result === 'ours')
      return bad(409, 'this server surveys a cluster of that name itself; choose another with --cluster');
    return { status: 204, text: '', result };
  }

  #mayReport(cluster: string, authorization: string): boolean {
    const expected = this.#options.tokens().get(cluster);
    const given = authorization.startsWith('Bearer ') ? authorization.slice('Bearer '.length).trim() : '';
    // Hashes are of equal length, and are compared also for clusters that nobody knows: time tells nothing.
    const same = timingSafeEqual(sha256(given), sha256(expected ?? 'no such cluster'));
    return same && expected !== undefined;
  }
}

const TEXT = 'text/plain; charset=utf-8';

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function answer(
  response: ServerResponse,
  status: number,
  contentType: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, {
    ...headers,
    ...(body === '' ? {} : { 'content-type': contentType }),
    'cache-control': 'no-store',
  });
  response.end(body);
}

/** The rest of a body that is not wanted is not read: the connection ends. */
function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.once('finish', () => request.destroy());
  answer(response, status, TEXT, body, { ...headers, connection: 'close' });
}
