/** What clients do, by name. */

import { newNonce } from '../../support/origin.ts';
import { pause } from '../../support/wait-for.ts';
import type { FaultyClient } from './client.ts';
import { LARGE, lateWords, TRICKLE_MS, TRICKLES } from './upstreams.ts';

export interface ClientBehaviour {
  /** For the table; follows "the client". */
  readonly what: string;
  /** Responses in front of the one that the case is about. */
  readonly before?: number;
  /** It hangs up, whatever comes. */
  readonly leaves?: true;
  /** It does not look at what comes. */
  readonly blind?: true;
  /** Resolves when there is nothing more that it does, or hears. */
  readonly run: (client: FaultyClient) => Promise<void>;
}

/** Less than is kept for another attempt, and more than one packet. */
const UPLOAD = 60_000;

/** More than the kernel takes for an upstream that does not read. */
const LARGE_UPLOAD = 16 * 1024 ** 2;

/** Of requests that are sent without a look at the answers. */
const PIPELINED = 200;

const ENDLESS = 'x'.repeat(10_000);

function get({ target }: FaultyClient, ...lines: readonly string[]): string {
  return `${[`GET ${target} HTTP/1.1`, 'Host: a', ...lines].join('\r\n')}\r\n\r\n`;
}

function post({ target }: FaultyClient, ...lines: readonly string[]): string {
  return `${[`POST ${target} HTTP/1.1`, 'Host: a', ...lines].join('\r\n')}\r\n\r\n`;
}

function upgrade(client: FaultyClient): string {
  return get(
    client,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  );
}

/** A request that is answered, in front of what the case is about. */
async function askFirst(client: FaultyClient): Promise<void> {
  client.send(`GET /open/answers/${client.nonce} HTTP/1.1\r\nHost: a\r\n\r\n`);
  await client.responses();
}

/** Sends, waits until the upstream has it, and hangs up. */
function leaving(bytes: (client: FaultyClient) => string, how: 'leave' | 'reset' | 'halfClose') {
  return async (client: FaultyClient) => {
    client.send(bytes(client));
    await client.upstreamHas();
    client[how]();
    await client.ended;
  };
}

const unfinished = (client: FaultyClient) => `${post(client, 'Content-Length: 100')}only this`;
const partOfAHead = ({ target }: FaultyClient) => `GET ${target} HTTP/1.1\r\nHost: a\r\nX-Half: `;

/** Keeps the one connection that `/narrow` may have, until the case is over, so that another request waits for it. */
async function keepNarrowBusy(client: FaultyClient): Promise<void> {
  const nonce = newNonce();
  const other = client.another({ nonce, target: `/narrow/stalls/${nonce}` });
  other.send(get(other));
  await other.upstreamHas();
}

const BEHAVIOURS = {
  asks: {
    what: 'asks',
    run: async (client) => {
      client.send(get(client));
      await client.responses();
    },
  },
  asksBy10: {
    what: 'asks by HTTP/1.0',
    run: async (client) => {
      client.send(`GET ${client.target} HTTP/1.0\r\nHost: a\r\n\r\n`);
      await client.ended;
    },
  },
  uploads: {
    what: 'uploads',
    run: async (client) => {
      client.send(post(client, `Content-Length: ${UPLOAD}`));
      client.sendBytes(Buffer.alloc(UPLOAD, client.nonce));
      await client.responses();
    },
  },
  uploadsLarge: {
    what: 'uploads 16 MiB',
    run: async (client) => {
      client.send(post(client, `Content-Length: ${LARGE_UPLOAD}`));
      client.sendBytes(Buffer.alloc(LARGE_UPLOAD, client.nonce));
      await client.responses();
    },
  },
  saysNothing: { what: 'connects and says nothing', run: async (client) => void (await client.ended) },
  stopsInHead: {
    what: 'stops in a head',
    run: async (client) => {
      client.send(partOfAHead(client));
      await client.responses();
    },
  },
  tricklesHead: {
    what: 'trickles a head without end',
    run: async (client) => {
      client.send(partOfAHead(client));
      await client.trickle(ENDLESS, TRICKLE_MS);
    },
  },
  stopsInSecondHead: {
    what: 'stops in its second head',
    before: 1,
    run: async (client) => {
      await askFirst(client);
      client.send(partOfAHead(client));
      await client.responses(2);
    },
  },
  tricklesSecondHead: {
    what: 'trickles its second head',
    before: 1,
    run: async (client) => {
      await askFirst(client);
      client.send(partOfAHead(client));
      await client.trickle(ENDLESS, TRICKLE_MS);
    },
  },
  staysIdle: {
    what: 'stays idle after a response',
    before: 1,
    run: async (client) => {
      await askFirst(client);
      await client.ended;
    },
  },
  stopsInBody: {
    what: 'stops in its body',
    run: async (client) => {
      client.send(unfinished(client));
      await client.responses();
    },
  },
  stopsInChunk: {
    what: 'stops in a chunk of its body',
    run: async (client) => {
      client.send(`${post(client, 'Transfer-Encoding: chunked')}5\r\nhello\r\n10\r\nhalf`);
      await client.responses();
    },
  },
  awaitsContinue: {
    what: 'asks for 100, and sends no body',
    run: async (client) => {
      client.send(post(client, 'Content-Length: 100', 'Expect: 100-continue'));
      await client.responses();
    },
  },
  trickles: {
    what: 'trickles its body to the end',
    run: async (client) => {
      client.send(post(client, `Content-Length: ${TRICKLES}`));
      await client.trickle('x'.repeat(TRICKLES), TRICKLE_MS);
      await client.responses();
    },
  },
  tricklesForEver: {
    what: 'trickles its body without end',
    run: async (client) => {
      client.send(post(client, 'Content-Length: 1000000'));
      await Promise.race([client.trickle(ENDLESS, TRICKLE_MS), client.responses()]);
    },
  },
  stopsReading: {
    what: 'stops reading',
    blind: true,
    run: async (client) => {
      client.stopReading();
      client.send(get(client));
      await client.upstreamHas();
    },
  },
  readsSlowly: {
    what: 'reads slowly',
    run: async (client) => {
      client.send(get(client));
      await client.readSlowly(LARGE, TRICKLE_MS);
      await client.until(() => client.heard > LARGE);
    },
  },
  pipelinesBlindly: {
    what: `sends ${PIPELINED} requests at once and reads nothing`,
    blind: true,
    run: async (client) => {
      client.stopReading();
      client.send(get(client).repeat(PIPELINED));
      await client.upstreamHas();
    },
  },
  leavesInHead: {
    what: 'leaves in its head',
    leaves: true,
    run: async (client) => {
      client.send(partOfAHead(client));
      await pause(TRICKLE_MS);
      client.leave();
    },
  },
  leavesWaiting: { what: 'leaves while it waits', leaves: true, run: leaving(get, 'leave') },
  resetsWaiting: { what: 'resets while it waits', leaves: true, run: leaving(get, 'reset') },
  endsItsSide: { what: 'closes its side while it waits', leaves: true, run: leaving(get, 'halfClose') },
  leavesInBody: { what: 'leaves in its body', leaves: true, run: leaving(unfinished, 'leave') },
  resetsInBody: { what: 'resets in its body', leaves: true, run: leaving(unfinished, 'reset') },
  endsItsSideInBody: {
    what: 'closes its side in its body',
    leaves: true,
    run: leaving(unfinished, 'halfClose'),
  },
  leavesInResponse: {
    what: 'leaves in the response',
    leaves: true,
    run: async (client) => {
      client.send(get(client));
      await client.until(() => client.heard > 0);
      client.leave();
    },
  },
  resetsInResponse: {
    what: 'resets in the response',
    leaves: true,
    run: async (client) => {
      client.send(get(client));
      await client.until(() => client.heard > 0);
      client.reset();
    },
  },
  leavesConnecting: {
    what: 'leaves before a connection is there',
    leaves: true,
    run: async (client) => {
      client.send(get(client));
      await pause(TRICKLE_MS);
      client.leave();
    },
  },
  waitsBehindAnother: {
    what: 'asks',
    run: async (client) => {
      await keepNarrowBusy(client);
      client.send(get(client));
      await client.responses();
    },
  },
  leavesBehindAnother: {
    what: 'leaves while it waits its turn',
    leaves: true,
    run: async (client) => {
      await keepNarrowBusy(client);
      client.send(get(client));
      await pause(TRICKLE_MS);
      client.leave();
      await client.ended;
    },
  },
  upgrades: {
    what: 'asks for a WebSocket',
    run: async (client) => {
      client.send(upgrade(client));
      await client.ended;
    },
  },
  leavesUpgrade: {
    what: 'leaves while it waits for a WebSocket',
    leaves: true,
    run: leaving(upgrade, 'leave'),
  },
  resetsUpgrade: {
    what: 'resets while it waits for a WebSocket',
    leaves: true,
    run: leaving(upgrade, 'reset'),
  },
  endsItsSideInUpgrade: {
    what: 'closes its side while it waits for a WebSocket',
    leaves: true,
    run: leaving(upgrade, 'halfClose'),
  },
  leavesUpgradeConnecting: {
    what: 'leaves its WebSocket before a connection is there',
    leaves: true,
    run: async (client) => {
      client.send(upgrade(client));
      await pause(TRICKLE_MS);
      client.leave();
    },
  },
  endsItsSideOfTunnel: {
    what: 'closes its side of its WebSocket',
    run: async (client) => {
      client.send(upgrade(client));
      await client.until(() => client.text.includes('\r\n\r\n'));
      client.halfClose();
      await client.ended;
      if (!client.text.endsWith(lateWords(client.nonce))) throw new Error('the tunnel lost its last bytes');
    },
  },
  leavesTunnel: {
    what: 'leaves its WebSocket',
    leaves: true,
    run: async (client) => {
      client.send(upgrade(client));
      await client.until(() => client.text.includes('\r\n\r\n'));
      client.leave();
    },
  },
  resetsTunnel: {
    what: 'resets its WebSocket',
    leaves: true,
    run: async (client) => {
      client.send(upgrade(client));
      await client.until(() => client.text.includes('\r\n\r\n'));
      client.reset();
    },
  },
} satisfies Record<string, ClientBehaviour>;

export type ClientName = keyof typeof BEHAVIOURS;

export const CLIENTS: Readonly<Record<ClientName, ClientBehaviour>> = BEHAVIOURS;
