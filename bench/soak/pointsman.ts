/** The proxy under test, its log read line by line as it comes. */

import { Agent, request as httpRequest } from 'node:http';
import { fileURLToPath } from 'node:url';
import type { StatusDocument } from '../../src/admin/status.ts';
import { type Launched, launch, waitFor } from '../launch.ts';
import { listeningPorts } from '../subjects/pointsman.ts';
import type { LoggedFailure } from './explain.ts';
import { VANISHING } from './load/kinds.ts';
import { PROBE_FOLDER, PROBE_INTERVAL } from './probe.ts';
import { TOKEN_VARIABLE } from './versions.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const PROBE = fileURLToPath(new URL('./probe.ts', import.meta.url));
const PROBE_MS = 2_000;
const ADMIN_TIMEOUT_MS = 10_000;
const TOKEN = 'a-token-of-the-soak-run';

/** How a line of a request ends, and one without fault is told from others without parsing it. */
const REQUEST_END = '"msg":"request"}';
const FAULTLESS = '"termination":"--"';
const ANSWERED = '"status":200';
const VANISHED = `"request_id":"${VANISHING}`;
const BEGINNING = '{"level":"';

/** Every so many lines one is parsed, to see that it is whole. */
const PARSED_EVERY = 100;

export interface Told {
  readonly level: string;
  readonly msg: string;
}

export class Pointsman {
  readonly process: Launched;
  traffic = 0;
  admin = 0;
  /** Lines of the access log. */
  requests = 0;
  /** Those of requests that were answered in full by an upstream, to clients that wait for it; without WebSockets. */
  answered = 0;
  /** Lines that are no whole line of JSON. */
  torn: string[] = [];
  /** How often each other line was said, by level and message. */
  readonly said = new Map<string, number>();
  /** What the log says of requests that failed, by nonce. */
  readonly failed = new Map<string, LoggedFailure>();
  /** One connection, so that those of the proxy can be counted. */
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #listening = '';

  constructor(options: {
    readonly configFile: string;
    readonly folder: string;
    readonly probes: string;
    readonly pace: number;
  }) {
    this.process = launch({
      name: 'pointsman',
      command: process.execPath,
      args: ['--import', PROBE, MAIN, 'run', '--config', options.configFile],
      core: undefined,
      folder: options.folder,
      env: {
        NODE_ENV: 'production',
        [PROBE_FOLDER]: options.probes,
        [PROBE_INTERVAL]: String(Math.round(PROBE_MS / options.pace)),
        [TOKEN_VARIABLE]: TOKEN,
      },
      onLine: (line) => this.#onLine(line),
    });
  }

  async listening(): Promise<void> {
    const ports = await waitFor('pointsman to log that it listens', () => {
      this.process.assertAlive();
      return listeningPorts(this.#listening);
    });
    this.traffic = ports.traffic;
    this.admin = ports.admin;
    await waitFor('pointsman to be ready', async () => ((await this.status()).ready.ok ? true : undefined));
  }

  async status(): Promise<StatusDocument> {
    return JSON.parse(await this.#ask('/status')) as StatusDocument;
  }

  async metrics(): Promise<string> {
    return await this.#ask('/metrics');
  }

  /** Rejects unless it was carried out. */
  async act(action: string, body: unknown): Promise<{ readonly override?: { readonly id: string } }> {
    return JSON.parse(await this.#ask(`/actions/${action}`, body)) as { override?: { id: string } };
  }

  async #ask(path: string, action?: unknown): Promise<string> {
    const { status, text } = await this.#send(path, action);
    if (status !== 200) throw new Error(`${path} was answered ${status}: ${text}`);
    return text;
  }

  #send(path: string, action: unknown): Promise<{ readonly status: number; readonly text: string }> {
    return new Promise((resolve, reject) => {
      const options = {
        host: '127.0.0.1',
        port: this.admin,
        path,
        agent: this.#agent,
        timeout: ADMIN_TIMEOUT_MS,
      };
      const acting = {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${TOKEN}` },
      };
      const request = httpRequest({ ...options, ...(action === undefined ? {} : acting) }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.once('error', reject);
        response.once('end', () => resolve({ status: response.statusCode ?? 0, text }));
      });
      request.once('timeout', () => request.destroy(new Error(`${path} was not answered in time`)));
      request.once('error', reject);
      request.end(action === undefined ? undefined : JSON.stringify(action));
    });
  }

  #onLine(line: string): void {
    if (line.endsWith(REQUEST_END)) {
      this.requests += 1;
      const faultless = line.includes(FAULTLESS) && line.startsWith(BEGINNING);
      if (faultless && line.includes(ANSWERED) && !line.includes(VANISHED)) this.answered += 1;
      if (faultless && this.requests % PARSED_EVERY !== 0) return;
      const record = this.#parsed(line);
      if (record !== undefined && !faultless) this.#noteFailed(record);
      return;
    }
    const record = this.#parsed(line);
    if (record === undefined) return;
    if (record['msg'] === 'listening') this.#listening = line;
    const key = `${record['level']}: ${record['msg']}`;
    this.said.set(key, (this.said.get(key) ?? 0) + 1);
  }

  #noteFailed(record: Readonly<Record<string, unknown>>): void {
    // Clients that vanish are nobody's failure, and many.
    if (String(record['termination']).startsWith('C')) return;
    const { request_id: nonce, endpoint, reason } = record;
    this.failed.set(String(nonce), {
      endpoint: endpoint as string | undefined,
      reason: reason as string | undefined,
    });
  }

  #parsed(line: string): Record<string, unknown> | undefined {
    try {
      return JSON.parse(line) as Record<string, unknown>;
    } catch {
      this.torn.push(line.slice(0, 300));
      return undefined;
    }
  }
}
