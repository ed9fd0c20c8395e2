/** A DNS server that misbehaves on demand, over UDP and TCP on one port, for what no real server can be told to do. */

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import {
  decode,
  encode,
  type Packet,
  type Answer as PacketRecord,
  RECURSION_AVAILABLE,
  TRUNCATED_RESPONSE,
} from 'dns-packet';
import { cleanUp } from './clean-up.ts';
import { pause } from './wait-for.ts';

export interface DnsQuestion {
  /** In lower case, without the trailing dot. */
  readonly name: string;
  readonly type: 'A' | 'AAAA' | 'SRV' | 'other';
  readonly transport: 'udp' | 'tcp';
  readonly id: number;
  /** Payload size that the question offers; undefined: it has no EDNS. */
  readonly payload: number | undefined;
  /** Port that the question came from. */
  readonly from: number;
}

/** One of the kinds of data. */
export interface DnsRecord {
  /** Default: the name asked for. */
  readonly name?: string;
  readonly ttl: number;
  readonly a?: string;
  readonly aaaa?: string;
  readonly cname?: string;
  readonly srv?: {
    readonly priority?: number;
    readonly weight?: number;
    readonly port: number;
    /** `.`: there is no such service. */
    readonly target: string;
  };
  /** `minimum` of a SOA record. */
  readonly soa?: number;
}

export type DnsReply =
  | {
      readonly rcode?: keyof typeof RCODES;
      readonly answers?: readonly DnsRecord[];
      readonly authorities?: readonly DnsRecord[];
      readonly additionals?: readonly DnsRecord[];
      readonly truncated?: boolean;
      /** Default: that of the question. */
      readonly id?: number;
      /** Default: the name asked for. */
      readonly question?: string;
      /** Over TCP: one byte at a time, with as many milliseconds between them. */
      readonly drip?: number;
    }
  /** Sent as it is behind the id of the question. */
  | { readonly garbage: Buffer }
  /** Sent as it is. */
  | { readonly bytes: Buffer }
  /** Over TCP: closes the connection instead. */
  | 'hang up'
  | 'silence';

const RCODES = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;

/** Decides what is sent back; of several replies each is a datagram of its own. */
export type Answering = (
  question: DnsQuestion,
) => DnsReply | readonly DnsReply[] | Promise<DnsReply | readonly DnsReply[]>;

export interface DnsDouble {
  /** `127.0.0.1:PORT` or `[::1]:PORT` */
  readonly address: string;
  readonly questions: DnsQuestion[];
  /** Decides every answer from now on. */
  answer: Answering;
}

/** @param options.tcp `false`: nobody listens on TCP */
export async function startDnsDouble(
  answer: Answering,
  { host = '127.0.0.1', tcp: overTcp = true }: { host?: string; tcp?: boolean } = {},
): Promise<DnsDouble> {
  const isV6 = host.includes(':');
  const tcp = createServer();
  tcp.listen(0, host);
  await once(tcp, 'listening');
  const { port } = tcp.address() as { port: number };
  const udp = createSocket(isV6 ? 'udp6' : 'udp4');
  udp.bind(port, host);
  await once(udp, 'listening');
  if (!overTcp) tcp.close();
  const double: DnsDouble = {
    address: isV6 ? `[${host}]:${port}` : `${host}:${port}`,
    questions: [],
    answer,
  };
  const repliesTo = async (query: Buffer, transport: 'udp' | 'tcp', from: number) => {
    const packet = decode(query);
    const question = questionOf(packet, transport, from);
    double.questions.push(question);
    const replies = await double.answer(question);
    const all = Array.isArray(replies) ? (replies as readonly DnsReply[]) : [replies as DnsReply];
    return all.map((reply) => ({ reply, message: encodeReply(packet, reply) }));
  };
  let closed = false;
  udp.on('message', async (query, { port: from, address }) => {
    for (const { message } of await repliesTo(query, 'udp', from)) {
      if (message !== undefined && !closed) udp.send(message, from, address);
    }
  });
  const sockets = new Set<Socket>();
  tcp.on('connection', (socket) => {
    sockets.add(socket);
    let received: Buffer = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', async (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const query = received.subarray(2, 2 + received.readUInt16BE(0));
      received = Buffer.alloc(0);
      for (const { reply, message } of await repliesTo(query, 'tcp', socket.remotePort ?? 0)) {
        if (reply === 'hang up') socket.end();
        if (message === undefined) continue;
        const length = Buffer.alloc(2);
        length.writeUInt16BE(message.length);
        const whole = Buffer.concat([length, message]);
        const drip = typeof reply === 'object' && 'drip' in reply ? reply.drip : undefined;
        if (drip === undefined) {
          socket.write(whole);
          continue;
        }
        socket.setNoDelay(true);
        for (const byte of whole) {
          if (socket.destroyed) break;
          socket.write(Buffer.from([byte]));
          await pause(drip);
        }
      }
    });
  });
  cleanUp(() => {
    closed = true;
    udp.close();
    tcp.close();
    for (const socket of sockets) socket.destroy();
  });
  return double;
}

function questionOf(
  { id = 0, questions = [], additionals = [] }: Packet,
  transport: 'udp' | 'tcp',
  from: number,
): DnsQuestion {
  const { name = '', type = '' } = questions[0] ?? {};
  const isKnown = type === 'A' || type === 'AAAA' || type === 'SRV';
  const edns = additionals.find((record) => record.type === 'OPT') as { udpPayloadSize: number } | undefined;
  return {
    name: name.toLowerCase(),
    type: isKnown ? type : 'other',
    transport,
    id,
    payload: edns?.udpPayloadSize,
    from,
  };
}

function encodeReply(query: Packet, reply: DnsReply): Buffer | undefined {
  if (reply === 'silence' || reply === 'hang up') return undefined;
  if ('bytes' in reply) return reply.bytes;
  const { name, type } = query.questions![0]!;
  if ('garbage' in reply) {
    const id = Buffer.alloc(2);
    id.writeUInt16BE(query.id!);
    return Buffer.concat([id, reply.garbage]);
  }
  const { rcode = 'NOERROR', answers = [], authorities = [], additionals = [], truncated = false } = reply;
  const record = (each: DnsRecord) => packetRecord(each, name);
  return encode({
    type: 'response',
    id: reply.id ?? query.id!,
    flags: RECURSION_AVAILABLE | (truncated ? TRUNCATED_RESPONSE : 0) | RCODES[rcode],
    questions: [{ name: reply.question ?? name, type }],
    answers: answers.map(record),
    authorities: authorities.map(record),
    additionals: additionals.map(record),
  });
}

function packetRecord({ name, ttl, a, aaaa, cname, srv, soa }: DnsRecord, asked: string): PacketRecord {
  const owner = { name: name ?? asked, ttl };
  if (a !== undefined) return { ...owner, type: 'A', data: a };
  if (aaaa !== undefined) return { ...owner, type: 'AAAA', data: aaaa };
  if (cname !== undefined) return { ...owner, type: 'CNAME', data: cname };
  if (srv !== undefined) return { ...owner, type: 'SRV', data: { priority: 0, weight: 0, ...srv } };
  return { ...owner, type: 'SOA', data: { mname: 'ns.test', rname: 'root.test', minimum: soa! } };
}
