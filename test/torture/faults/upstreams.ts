/** What upstreams do, by name. */

import type { Socket } from 'node:net';
import { NONCE_FIELD } from '../../support/origin.ts';
import { pause } from '../../support/wait-for.ts';

/** One request, as an upstream serves it. */
export interface Serving {
  readonly socket: Socket;
  readonly target: string;
  readonly nonce: string;
}

export interface UpstreamBehaviour {
  /** For the table; follows "the upstream". */
  readonly what: string;
  /** Where the proxy looks for it. Default: an upstream that takes all connections. */
  readonly at?: Place;
  /** It acts once the head is here, whatever comes of the body. */
  readonly early?: true;
  /** Nothing is read behind the head, or a little at a time. */
  readonly reads?: 'nothing' | 'slowly';
  readonly run?: (serving: Serving) => unknown;
}

/** Upstreams of the suite, each a backend of that name. */
export const PLACES = [
  'open',
  /** Nothing listens. */
  'closed',
  /** Two endpoints; nothing listens on one of them. */
  'half',
  /** Its queue of new connections is full. */
  'stopped',
  /** Takes connections, and lets go of them. */
  'resetting',
  'closing',
  /** Ends connections that may be used again, which what cannot be repeated must not meet. */
  'parting',
  /** Lets go of every second connection. */
  'unsteady',
  /** May have one connection. */
  'narrow',
] as const;

export type Place = (typeof PLACES)[number];

/** Between two octets of what trickles, milliseconds: well below the short timeout. */
export const TRICKLE_MS = 60;

/** Octets of what trickles to its end, so that all of it takes longer than the short timeout. */
export const TRICKLES = 24;

/** More than the kernel holds for a client that does not read. */
export const LARGE = 16 * 1024 ** 2;

function head(nonce: string, ...lines: readonly string[]): string {
  return `${['HTTP/1.1 200 OK', `${NONCE_FIELD}: ${nonce}`, ...lines].join('\r\n')}\r\n\r\n`;
}

/** Body of every whole response. */
export function bodyFor(nonce: string, target: string): string {
  return `${nonce} ${target}`;
}

function answer({ socket, nonce, target }: Serving): void {
  const body = bodyFor(nonce, target);
  socket.write(head(nonce, `Content-Length: ${body.length}`) + body);
}

/** A head that promises a hundred octets, and nine of them. */
function begin({ socket, nonce }: Serving): void {
  socket.write(`${head(nonce, 'Content-Length: 100')}${nonce} `);
}

/** A chunk, and the beginning of the next one. */
function beginChunks({ socket, nonce }: Serving): void {
  socket.write(`${head(nonce, 'Transfer-Encoding: chunked')}9\r\n${nonce} \r\n40\r\n${nonce}`);
}

/** A response that ends with the connection. */
function beginUntilClose({ socket, nonce, target }: Serving): void {
  socket.write(head(nonce) + bodyFor(nonce, target));
}

function halfAHead({ socket, nonce }: Serving): void {
  socket.write(`HTTP/1.1 200 OK\r\n${NONCE_FIELD}: ${nonce}\r\nX-Half: `);
}

function openTunnel({ socket, nonce }: Serving): void {
  const fields = `Connection: Upgrade\r\nUpgrade: websocket\r\n${NONCE_FIELD}: ${nonce}\r\n`;
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n`);
}

/** Sent over a tunnel whose client has closed its side. */
export function lateWords(nonce: string): string {
  return `late ${nonce}`;
}

/** Sends more bytes when the other side has ended. */
function speakAtTheEnd({ socket, nonce }: Serving): void {
  socket.removeAllListeners('end');
  socket.once('end', async () => {
    await later();
    socket.end(lateWords(nonce));
  });
}

async function answerLarge({ socket, nonce }: Serving): Promise<void> {
  socket.write(head(nonce, `Content-Length: ${LARGE}`));
  const part = Buffer.alloc(1024 ** 2, nonce);
  for (let sent = 0; sent < LARGE && !socket.destroyed; sent += part.length) {
    if (!socket.write(part)) await drained(socket);
  }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      socket.off('drain', go).off('close', go);
      resolve();
    };
    socket.on('drain', go).on('close', go);
  });
}

/** What was written goes out first, or the reset would overtake it. */
async function reset({ socket }: Serving): Promise<void> {
  await pause(20);
  socket.resetAndDestroy();
}

function close({ socket }: Serving): void {
  socket.end();
}

async function trickle({ socket }: Serving, text: string): Promise<void> {
  for (const octet of text) {
    if (socket.destroyed) return;
    socket.write(octet);
    await pause(TRICKLE_MS);
  }
}

const ENDLESS = 'x'.repeat(10_000);

/** One after the other. */
function steps(...parts: readonly ((serving: Serving) => unknown)[]): (serving: Serving) => Promise<void> {
  return async (serving) => {
    for (const part of parts) await part(serving);
  };
}

const later = () => pause(40);

const BEHAVIOURS = {
  answers: { what: 'answers', run: answer },
  refuses: { what: 'refuses every connection', at: 'closed' },
  refusesEverySecond: { what: 'refuses every second connection', at: 'half', run: answer },
  neverAccepts: { what: 'does not accept', at: 'stopped' },
  resetsConnections: { what: 'resets with the first octets that come', at: 'resetting' },
  closesConnections: { what: 'closes connections that it has taken', at: 'closing' },
  resetsEverySecond: { what: 'resets every second connection at once', at: 'unsteady', run: answer },
  isBusy: { what: 'is at its `maxConnections`', at: 'narrow' },
  resets: { what: 'resets instead of answering', run: reset },
  closes: { what: 'closes instead of answering', run: close },
  resetsInUpload: { what: 'resets while the body comes', early: true, run: steps(later, reset) },
  stalls: { what: 'never answers' },
  stallsInHead: { what: 'stalls in the head', run: halfAHead },
  tricklesHead: {
    what: 'trickles a head without end',
    run: steps(halfAHead, (serving) => trickle(serving, ENDLESS)),
  },
  hints: {
    what: 'sends 103 for ever',
    run: async ({ socket }) => {
      while (!socket.destroyed) {
        socket.write('HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n');
        await pause(TRICKLE_MS);
      }
    },
  },
  resetsInHead: { what: 'resets in the head', run: steps(halfAHead, reset) },
  closesInHead: { what: 'closes in the head', run: steps(halfAHead, close) },
  stallsInBody: { what: 'stalls in the body', run: begin },
  stallsInChunk: { what: 'stalls in a chunk', run: beginChunks },
  stallsUntilClose: { what: 'stalls in a body without length', run: beginUntilClose },
  closesInBody: { what: 'closes in the body', run: steps(begin, later, close) },
  closesInChunk: { what: 'closes in a chunk', run: steps(beginChunks, later, close) },
  closesUntilClose: { what: 'ends a body without length', run: steps(beginUntilClose, later, close) },
  resetsInBody: { what: 'resets in the body', run: steps(begin, reset) },
  resetsInChunk: { what: 'resets in a chunk', run: steps(beginChunks, reset) },
  resetsUntilClose: { what: 'resets in a body without length', run: steps(beginUntilClose, reset) },
  trickles: {
    what: 'trickles its answer to the end',
    run: (serving) => {
      const { socket, nonce, target } = serving;
      const body = bodyFor(nonce, target);
      socket.write(head(nonce, `Content-Length: ${body.length}`) + body.slice(0, -TRICKLES));
      return trickle(serving, body.slice(-TRICKLES));
    },
  },
  tricklesForEver: {
    what: 'trickles a body without end',
    run: (serving) => {
      serving.socket.write(`${head(serving.nonce, 'Content-Length: 1000000')}${serving.nonce} `);
      return trickle(serving, ENDLESS);
    },
  },
  answersAndCloses: { what: 'answers, then closes', at: 'parting', run: steps(answer, later, close) },
  answersAndResets: { what: 'answers, then resets', at: 'parting', run: steps(answer, reset) },
  answersEarly: { what: 'answers before the body is there', early: true, run: answer },
  answersEarlyAndCloses: {
    what: 'answers before the body is there, then closes',
    early: true,
    run: steps(answer, close),
  },
  readsNothing: { what: 'does not read the body', reads: 'nothing' },
  readsSlowly: { what: 'reads the body slowly', reads: 'slowly', run: answer },
  answersLarge: { what: 'answers with 16 MiB', run: answerLarge },
  opensTunnel: { what: 'opens the tunnel', run: openTunnel },
  resetsTunnel: { what: 'opens the tunnel, then resets', run: steps(openTunnel, later, reset) },
  speaksOnInTunnel: {
    what: 'opens the tunnel, and speaks on when the client has closed its side',
    run: steps(speakAtTheEnd, openTunnel),
  },
  closesTunnel: { what: 'opens the tunnel, then closes', run: steps(openTunnel, later, close) },
} satisfies Record<string, UpstreamBehaviour>;

export type UpstreamName = keyof typeof BEHAVIOURS;

export const UPSTREAMS: Readonly<Record<UpstreamName, UpstreamBehaviour>> = BEHAVIOURS;
