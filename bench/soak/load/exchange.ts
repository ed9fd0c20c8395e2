/** One request by node:http, and whether its answer is its own, whole and unaltered. */

import { type Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { monotonic } from '../clock.ts';
import { type Group, mayMeet } from '../tracks.ts';
import type { Failure, FailureForm } from './failure.ts';
import { type Origin, originOf } from './tracked-agent.ts';

export interface Asked {
  readonly kind: string;
  readonly nonce: string;
  readonly method: 'GET' | 'HEAD' | 'POST';
  /** `/small`; the nonce is added. */
  readonly path: string;
  readonly group: Group;
  readonly agent: Agent;
  readonly port: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** In absolute form. */
  readonly absolute?: boolean;
  readonly bodyBytes?: number;
  /** Sends the body, once the connection is there or, with `Expect`, once it is wanted. Default: there is none. */
  readonly sendBody?: (request: ClientRequest) => void;
  /** Status besides 200 that is fine; the response is then not looked at. */
  readonly orStatus?: number;
  /** Longest it may take; default: 30 s. */
  readonly patienceMs?: number;
  /** Reads the response to its end. @returns what is wrong with it */
  readonly check: (response: IncomingMessage) => Promise<string | undefined>;
}

export class ExchangeError extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(`${failure.kind} ${failure.nonce}: ${failure.what}`);
    this.failure = failure;
  }
}

const PATIENCE_MS = 30_000;

/** Of everyday length. */
const CLIENT_FIELDS = {
  'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0',
  Accept: 'application/json, text/plain, */*',
  'Accept-Language': 'en-GB,en;q=0.9,de;q=0.8',
};

/** Resolves to the status; rejects with an ExchangeError. */
export function exchange(asked: Asked): Promise<number> {
  const { kind, nonce, method, group, port } = asked;
  const startedAt = monotonic();
  const path = `${asked.path}?n=${nonce}`;
  return new Promise((resolve, reject) => {
    let origin: Origin = { port: 0, connectingAt: startedAt };
    let response: IncomingMessage | undefined;
    const fail = (form: FailureForm, what: string) => {
      clearTimeout(timer);
      request.destroy();
      reject(
        new ExchangeError({
          form,
          kind,
          nonce,
          method,
          what,
          status: response?.statusCode ?? 0,
          reason: field(response, 'x-pointsman-reason'),
          endpoint: field(response, 'x-endpoint'),
          bodyBytes: asked.bodyBytes ?? 0,
          port: origin.port,
          connectingAt: origin.connectingAt,
          startedAt,
          endedAt: monotonic(),
        }),
      );
    };
    const timer = setTimeout(() => fail('late', 'no whole answer in time'), asked.patienceMs ?? PATIENCE_MS);
    const request = httpRequest({
      host: '127.0.0.1',
      port,
      method,
      path: asked.absolute === true ? `http://127.0.0.1:${port}${path}` : path,
      agent: asked.agent,
      headers: {
        ...CLIENT_FIELDS,
        'X-Request-Id': nonce,
        ...(group === undefined ? {} : { 'X-Traffic-Group': group }),
        ...asked.headers,
      },
    });
    request.once('socket', (socket) => {
      origin = originOf(socket);
    });
    request.on('error', (error) => fail('cut', describe(error)));
    request.once('response', (incoming) => {
      response = incoming;
      if (incoming.statusCode === asked.orStatus) {
        incoming.resume();
        incoming.once('error', (error) => fail('cut', describe(error)));
        incoming.once('end', () => {
          clearTimeout(timer);
          resolve(asked.orStatus!);
        });
        return;
      }
      if (incoming.statusCode !== 200) {
        // Read, for it may be that of another request; what counts is the status.
        incoming.resume();
        fail('status', `answered ${incoming.statusCode}`);
        return;
      }
      const foreign = foreignTo(incoming, nonce, group);
      if (foreign !== undefined) {
        fail('wrong', foreign);
        return;
      }
      asked.check(incoming).then(
        (wrong) => {
          clearTimeout(timer);
          if (wrong !== undefined) fail('wrong', wrong);
          else resolve(200);
        },
        (error: Error) => fail('cut', `${describe(error)} in the middle of the response`),
      );
    });
    if (asked.sendBody === undefined) request.end();
    else asked.sendBody(request);
  });
}

/** Whether it is the response of this request, from where the group may go. */
function foreignTo(response: IncomingMessage, nonce: string, group: Group): string | undefined {
  for (const name of ['x-nonce', 'x-request-id']) {
    const value = field(response, name);
    if (value !== nonce) return `${name} of the response is ${value}: it belongs to another request`;
  }
  const track = field(response, 'x-track');
  return mayMeet(group, track) ? undefined : `group ${group} met ${track}`;
}

function field(response: IncomingMessage | undefined, name: string): string | undefined {
  const value = response?.headers[name];
  return typeof value === 'string' ? value : undefined;
}

function describe(error: Error): string {
  return (error as NodeJS.ErrnoException).code ?? error.message;
}
