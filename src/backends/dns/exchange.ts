/** One query to one server: over a socket of its own each time, with a new source port and id. */

import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import type { Clock } from '../clock.ts';
import type { NameServer } from '../resolv-conf.ts';
import { isReplyTo } from './answer.ts';
import { encodeQuery, type Message, type Question, readMessage } from './message.ts';

/** What became of a query. */
export type Reply =
  | { readonly kind: 'message'; readonly message: Message }
  /** `ignored`: datagrams that came and answered another question, or none. */
  | { readonly kind: 'silence'; readonly ignored: number }
  /** Something came back that is no reply; `what` completes "the DNS server …". */
  | { readonly kind: 'nonsense'; readonly what: string }
  /** The server could not be reached. */
  | { readonly kind: 'unreachable'; readonly error: NodeJS.ErrnoException };

export interface ExchangeEdges {
  readonly clock: Clock;
  /** Takes what calls the exchange off, and returns what forgets that again. */
  readonly onCancel: (cancel: () => void) => () => void;
}

/** Datagrams of others after which a server is given up for this time: somebody is flooding the port. */
const MAX_IGNORED = 100;

/**
 * A socket per query, since one that a network policy or the replacement of a CoreDNS pod has cut off stays cut off
 * (haproxy#2654), and since ports that change are hard to guess (RFC 5452). It is connected, so that the kernel drops
 * what comes from other addresses and reports a closed port.
 */
export function askOverUdp(
  server: NameServer,
  question: Question,
  edns: boolean,
  timeoutMs: number,
  edges: ExchangeEdges,
): Promise<Reply> {
  return exchange(timeoutMs, edges, (end) => {
    const id = randomInt(0x10000);
    const socket = createSocket(server.address.includes(':') ? 'udp6' : 'udp4');
    let ignored = 0;
    socket.on('error', (error) => end({ kind: 'unreachable', error }));
    socket.on('message', (bytes) => {
      // The id first: what another sends is not worth reading.
      const isOurs = bytes.length >= 2 && bytes.readUInt16BE(0) === id;
      const message = isOurs ? readMessage(bytes) : undefined;
      if (message !== undefined && isReplyTo(message, id, question)) end({ kind: 'message', message });
      else if (isOurs && message === undefined) end({ kind: 'nonsense', what: 'sent no DNS message' });
      else if (++ignored >= MAX_IGNORED)
        end({ kind: 'nonsense', what: `sent ${ignored} answers to other questions` });
    });
    socket.on('connect', () => {
      socket.send(encodeQuery(id, question, edns), (error) => {
        if (error !== null) end({ kind: 'unreachable', error });
      });
    });
    // Without a callback, which would be called with the error in place of the event.
    socket.connect(server.port, addressOf(server));
    return {
      silence: () => ({ kind: 'silence', ignored }),
      close: () => socket.close(),
    };
  });
}

/** The whole answer must come within the time, however it is cut into pieces. */
export function askOverTcp(
  server: NameServer,
  question: Question,
  edns: boolean,
  timeoutMs: number,
  edges: ExchangeEdges,
): Promise<Reply> {
  return exchange(timeoutMs, edges, (end) => {
    const id = randomInt(0x10000);
    const socket = connect({ host: addressOf(server), port: server.port, noDelay: true });
    let received: Buffer = Buffer.alloc(2);
    let length = 0;
    let headed = false;
    const take = (chunk: Buffer) => {
      let rest = chunk;
      for (;;) {
        const copied = rest.copy(received, length);
        length += copied;
        rest = rest.subarray(copied);
        if (length < received.length) return;
        if (headed) break;
        headed = true;
        // At most 64 KiB, whatever the server says.
        received = Buffer.alloc(received.readUInt16BE(0));
        length = 0;
      }
      const message = readMessage(received);
      if (message === undefined) end({ kind: 'nonsense', what: 'sent no DNS message over TCP' });
      else if (isReplyTo(message, id, question)) end({ kind: 'message', message });
      else end({ kind: 'nonsense', what: 'answered another question over TCP' });
    };
    socket.on('connect', () => {
      const query = encodeQuery(id, question, edns);
      const prefix = Buffer.alloc(2);
      prefix.writeUInt16BE(query.length);
      socket.write(Buffer.concat([prefix, query]));
    });
    socket.on('data', take);
    socket.on('error', (error) => end({ kind: 'unreachable', error }));
    socket.on('end', () =>
      end({ kind: 'nonsense', what: 'closed the TCP connection before it had answered' }),
    );
    return {
      silence: () => ({ kind: 'silence', ignored: 0 }),
      close: () => socket.destroy(),
    };
  });
}

interface Attempt {
  readonly silence: () => Reply;
  readonly close: () => void;
}

/** Ends once, by `end`, by the time or by being called off, and closes the socket then. */
function exchange(
  timeoutMs: number,
  { clock, onCancel }: ExchangeEdges,
  start: (end: (reply: Reply) => void) => Attempt,
): Promise<Reply> {
  return new Promise((resolve) => {
    let attempt: Attempt | undefined;
    let ended = false;
    const end = (reply: Reply) => {
      if (ended) return;
      ended = true;
      clock.clearTimeout(timer);
      forget();
      attempt?.close();
      resolve(reply);
    };
    const expire = () => end(attempt?.silence() ?? { kind: 'silence', ignored: 0 });
    const timer = clock.setTimeout(expire, timeoutMs);
    const forget = onCancel(expire);
    try {
      attempt = start(end);
      if (ended) attempt.close();
    } catch (error) {
      end({ kind: 'unreachable', error: error as NodeJS.ErrnoException });
    }
  });
}

function addressOf({ address, scope }: NameServer): string {
  return scope === undefined ? address : `${address}%${scope}`;
}
