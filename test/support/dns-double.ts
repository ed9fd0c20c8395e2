/** A DNS server that misbehaves on demand, over UDP and TCP on one port, for what no real server can be told to do. */

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { cleanUp } from './clean-up.ts';

export interface DnsQuestion {
  /** In lower case, without the trailing dot. */
  readonly name: string;
  readonly type: 'A' | 'AAAA' | 'other';
  readonly transport: 'udp' | 'tcp';
}

export interface DnsRecord {
  /** Default: the name asked for. */
  readonly name?: string;
  readonly ttl: number;
  readonly a?: string;
  readonly aaaa?: string;
  readonly cname?: string;
}

export type DnsReply =
  | {
      readonly rcode?: 'NOERROR' | 'FORMERR' | 'SERVFAIL' | 'NXDOMAIN' | 'REFUSED';
      readonly answers?: readonly DnsRecord[];
      readonly truncated?: boolean;
    }
  /** Sent as it is behind the id of the question. */
  | { readonly garbage: Buffer }
  | 'silence';

const RCODES = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, REFUSED: 5 } as const;

export interface DnsDouble {
  /** `127.0.0.1:PORT` or `[::1]:PORT` */
  readonly address: string;
  readonly questions: DnsQuestion[];
  /** Decides every answer from now on. */
  answer: (question: DnsQuestion) => DnsReply | Promise<DnsReply>;
}

export async function startDnsDouble(answer: DnsDouble['answer'], host = '127.0.0.1'): Promise<DnsDouble> {
  const isV6 = host.includes(':');
  const tcp = createServer();
  tcp.listen(0, host);
  await once(tcp, 'listening');
  const { port } = tcp.address() as { port: number };
  const udp = createSocket(isV6 ? 'udp6' : 'udp4');
  udp.bind(port, host);
  await once(udp, 'listening');
  const double: DnsDouble = {
    address: isV6 ? `[${host}]:${port}` : `${host}:${port}`,
    questions: [],
    answer,
  };
  const reply = async (query: Buffer, transport: 'udp' | 'tcp') => {
    const question = readQuestion(query, transport);
    double.questions.push(question);
    return encode(query, await double.answer(question));
  };
  let closed = false;
  udp.on('message', async (query, { port: to, address }) => {
    const message = await reply(query, 'udp');
    if (message !== undefined && !closed) udp.send(message, to, address);
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
      const message = await reply(query, 'tcp');
      if (message === undefined) return;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(message.length);
      socket.write(Buffer.concat([length, message]));
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

function readQuestion(query: Buffer, transport: 'udp' | 'tcp'): DnsQuestion {
  const labels: string[] = [];
  let at = 12;
  while (query[at]! > 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!));
    at += 1 + query[at]!;
  }
  const code = query.readUInt16BE(at + 1);
  const type = code === 1 ? 'A' : code === 28 ? 'AAAA' : 'other';
  return { name: labels.join('.').toLowerCase(), type, transport };
}

function encode(query: Buffer, reply: DnsReply): Buffer | undefined {
  if (reply === 'silence') return undefined;
  if ('garbage' in reply) return Buffer.concat([query.subarray(0, 2), reply.garbage]);
  const { rcode = 'NOERROR', answers = [], truncated = false } = reply;
  const end = query.indexOf(0, 12) + 5;
  const head = Buffer.alloc(12);
  query.copy(head, 0, 0, 2);
  head[2] = 0x85 | (truncated ? 2 : 0);
  head[3] = 0x80 | RCODES[rcode];
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(answers.length, 6);
  return Buffer.concat([head, query.subarray(12, end), ...answers.map(encodeRecord)]);
}

function encodeRecord({ name, ttl, a, aaaa, cname }: DnsRecord): Buffer {
  const owner = name === undefined ? Buffer.from([0xc0, 12]) : encodeName(name);
  const [type, data] =
    a !== undefined
      ? [1, Buffer.from(a.split('.').map(Number))]
      : aaaa !== undefined
        ? [28, encodeV6(aaaa)]
        : [5, encodeName(cname!)];
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(1, 2);
  fixed.writeUInt32BE(ttl, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([owner, fixed, data]);
}

function encodeName(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  return Buffer.concat([...labels, Buffer.from([0])]);
}

/** Takes the form with `::` at most once and no embedded IPv4. */
function encodeV6(address: string): Buffer {
  const [head = '', tail] = address.split('::');
  const words = (text: string) =>
    text === '' ? [] : text.split(':').map((word) => Number.parseInt(word, 16));
  const left = words(head);
  const right = words(tail ?? '');
  const all = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Buffer.from(all.flatMap((word) => [word >> 8, word & 255]));
}
