/** The kinds of traffic, each with its rate: what is sent, and how its answer is checked. */

import type { ClientRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { NOISE } from '../payload.ts';
import { GROUPS, type Group } from '../tracks.ts';
import { dripChecked, echoChecked, emptyChecked, largeChecked, smallChecked } from './checks.ts';
import { type Asked, ExchangeError, exchange } from './exchange.ts';
import { http10 } from './http10.ts';
import { idleConnection } from './idle.ts';
import type { Paced } from './pacer.ts';
import type { Tally } from './tally.ts';
import { trackedAgent } from './tracked-agent.ts';
import { vanish } from './vanish.ts';

export interface LoadOptions {
  readonly port: number;
  /** Kinds that this process is to send. */
  readonly kinds: readonly string[];
  /** Of the standard rates. */
  readonly share: number;
  /** How much faster slow clients are than in the standard run. */
  readonly pace: number;
  /** Distinguishes its nonces from those of the other processes. */
  readonly name: string;
  readonly webSockets: number;
}

/** Requests a second of each kind, together about 1,500. */
export const RATES: Readonly<Record<string, number>> = {
  get: 700,
  pinned: 300,
  head: 60,
  post: 150,
  stream: 30,
  connect: 60,
  options: 50,
  http10: 20,
  expect: 20,
  absolute: 20,
  limited: 30,
  large: 3,
  drip: 5,
  'slow-upload': 3,
  'slow-download': 2,
  vanish: 20,
  idle: 2,
};

/** Whose latency is told. */
export const TIMED = ['get', 'pinned'] as const;

const USERS = 5_000;
const LARGEST_POST = 32 * 1024;
const LARGEST_STREAM = 256 * 1024;
/** Of bodies sent in chunks. */
const PART = 16 * 1024;

/** Of slow clients, between two parts. */
const READ_PAUSE_MS = 150;
const WRITE_PAUSE_MS = 300;

/** How nonces of clients begin that do not wait for an answer. */
export const VANISHING = 'vanish-';

/** Most of one kind under way, as a multiple of what a second brings, and at least. */
const MOST_SECONDS = 2;
const LEAST_MOST = 50;

export function pacedKinds(options: LoadOptions, tally: Tally): Paced[] {
  const { port, name } = options;
  const keeping = trackedAgent({ keepAlive: true, maxSockets: 48 });
  const posting = trackedAgent({ keepAlive: true, maxSockets: 32 });
  const closing = trackedAgent({ keepAlive: false });
  /** Where each user of the row that never changes was met first. */
  const met = new Map<string, string>();
  let nonces = 0;
  const nextNonce = () => {
    nonces += 1;
    return `${name}-${nonces.toString(36)}`;
  };

  const ask = async (asked: Omit<Asked, 'port' | 'nonce'>, nonce = nextNonce()): Promise<void> => {
    const from = performance.now();
    try {
      const status = await exchange({ ...asked, nonce, port });
      if (status === 200) tally.done(asked.kind, performance.now() - from);
      else tally.done(`${asked.kind}, ${status}`);
    } catch (error) {
      if (!(error instanceof ExchangeError)) throw error;
      tally.fail(error.failure);
    }
  };
  const small = async (kind: string, group: Group, more: Partial<Asked> = {}) => {
    const nonce = nextNonce();
    const check: Asked['check'] = (response) => smallChecked(response, nonce);
    return await ask({ kind, method: 'GET', path: '/small', group, agent: keeping, check, ...more }, nonce);
  };

  const runs: Readonly<Record<string, (turn: number) => Promise<void>>> = {
    get: (turn) => small('get', groupOf(turn)),
    pinned: async (turn) => {
      const user = `user-${(turn * 7_919) % USERS}`;
      const group = turn % 2 === 0 ? 'FREE' : undefined;
      const headers = turn % 3 === 0 ? { Cookie: `theme=dark; uid=${user}` } : { 'X-User-Id': user };
      const nonce = nextNonce();
      const check: Asked['check'] = async (response) => {
        const wrong = await smallChecked(response, nonce);
        if (wrong !== undefined || group !== undefined) return wrong;
        const track = String(response.headers['x-track']);
        const before = met.get(user);
        met.set(user, track);
        return before === undefined || before === track
          ? undefined
          : `${user} moved from ${before} to ${track}`;
      };
      const asked = {
        kind: 'pinned',
        method: 'GET',
        path: '/small',
        group,
        agent: keeping,
        headers,
        check,
      } as const;
      return await ask(asked, nonce);
    },
    head: async (turn) => {
      const nonce = nextNonce();
      const check: Asked['check'] = (response) => emptyChecked(response, nonce);
      const asked = {
        kind: 'head',
        method: 'HEAD',
        path: '/small',
        group: groupOf(turn),
        agent: keeping,
        check,
      } as const;
      return await ask(asked, nonce);
    },
    post: (turn) => {
      const body = noise(turn, LARGEST_POST);
      return ask(echo('post', '/echo', groupOf(turn), body, turn % 2 === 0));
    },
    stream: (turn) => ask(echo('stream', '/stream', groupOf(turn), noise(turn, LARGEST_STREAM), true)),
    connect: (turn) => small('connect', groupOf(turn), { agent: closing }),
    options: (turn) =>
      small('options', groupOf(turn), {
        headers: { Connection: 'keep-alive, X-Hop', 'X-Hop': 'for the proxy' },
      }),
    absolute: (turn) => small('absolute', groupOf(turn), { absolute: true }),
    limited: () => small('limited', 'LIMITED', { orStatus: 429 }),
    expect: (turn) => {
      const body = noise(turn, LARGEST_POST);
      const asked = echo('expect', '/echo', groupOf(turn), body, false);
      return ask({
        ...asked,
        headers: { ...asked.headers, Expect: '100-continue' },
        sendBody: (request) => {
          request.flushHeaders();
          request.once('continue', () => request.end(body));
        },
      });
    },
    large: (turn) => {
      const nonce = nextNonce();
      const check: Asked['check'] = (response) => largeChecked(response, nonce);
      return ask(
        { kind: 'large', method: 'GET', path: '/large', group: groupOf(turn), agent: keeping, check },
        nonce,
      );
    },
    drip: (turn) => {
      const nonce = nextNonce();
      const check: Asked['check'] = (response) => dripChecked(response, nonce);
      return ask(
        { kind: 'drip', method: 'GET', path: '/drip', group: groupOf(turn), agent: closing, check },
        nonce,
      );
    },
    'slow-upload': (turn) => {
      const body = noise(turn, LARGEST_POST);
      const asked = echo('slow-upload', '/echo', groupOf(turn), body, true);
      return ask({
        ...asked,
        agent: closing,
        sendBody: (request) => void trickle(request, body, WRITE_PAUSE_MS / options.pace),
      });
    },
    'slow-download': (turn) => {
      const nonce = nextNonce();
      const check: Asked['check'] = (response) => largeChecked(response, nonce, READ_PAUSE_MS / options.pace);
      const asked = { kind: 'slow-download', method: 'GET', path: '/large', agent: closing, check } as const;
      return ask({ ...asked, group: groupOf(turn) }, nonce);
    },
    http10: (turn) => http10(port, nextNonce(), groupOf(turn), tally),
    vanish: (turn) => vanish(port, turn, `${VANISHING}${nextNonce()}`, tally),
    idle: (turn) => idleConnection(port, nextNonce(), groupOf(turn), tally),
  };

  return options.kinds.map((kind) => {
    const rate = RATES[kind]! * options.share;
    const run = runs[kind]!;
    return {
      rate,
      most: Math.max(LEAST_MOST, rate * MOST_SECONDS),
      run,
    };
  });

  function echo(kind: string, path: string, group: Group, body: Buffer, chunked: boolean) {
    return {
      kind,
      method: 'POST',
      path,
      group,
      agent: posting,
      bodyBytes: body.length,
      headers: chunked ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': String(body.length) },
      sendBody: (request: ClientRequest) => {
        if (!chunked) {
          request.end(body);
          return;
        }
        for (let from = 0; from < body.length; from += PART) request.write(body.subarray(from, from + PART));
        request.end();
      },
      check: (response) => {
        const seen = path === '/echo' ? String(response.headers['x-sha256']) : undefined;
        return echoChecked(response, body, seen);
      },
    } satisfies Omit<Asked, 'port' | 'nonce'>;
  }
}

function groupOf(turn: number): Group {
  return GROUPS[turn % GROUPS.length];
}

/** Another part each time, of up to `most` bytes. */
function noise(turn: number, most: number): Buffer {
  const length = (turn * 104_729) % (most + 1);
  const from = (turn * 15_485_863) % (NOISE.length - most);
  return NOISE.subarray(from, from + length);
}

async function trickle(request: ClientRequest, body: Buffer, pauseMs: number): Promise<void> {
  const parts = 10;
  const size = Math.ceil(body.length / parts) || 1;
  for (let from = 0; from < body.length && !request.destroyed; from += size) {
    request.write(body.subarray(from, from + size));
    await sleep(pauseMs);
  }
  if (!request.destroyed) request.end();
}
