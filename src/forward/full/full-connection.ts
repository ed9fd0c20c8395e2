/** A client's connection on the full lane: its bytes pass through a feed to Node's parser. */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { ByteReader, ClientSocket } from '../client-socket.ts';
import type { UpgradeDownstream } from '../upgrade/upgrade-downstream.ts';
import { type FeedTarget, ParserFeed } from './parser-feed.ts';
import { RequestQueue } from './request-queue.ts';
import { UndiciTransport } from './undici-transport.ts';

/** Estimated memory of a parsed request that waits for its turn, bytes. */
const WAITING_COST = 4 * 1024;

/** CRLF CRLF: where a head ends, and a chunked body. */
const BLANK_LINE = 0x0d0a0d0a;

const CONNECTION = Symbol('connection');

interface WithConnection extends Socket {
  [CONNECTION]?: FullConnection;
}

/** Returns the connection of a socket that the full lane reads. */
export function connectionOf(socket: Socket): FullConnection {
  const connection = (socket as WithConnection)[CONNECTION];
  if (connection === undefined) throw new Error('the full lane does not know this socket');
  return connection;
}

export class FullConnection implements ByteReader, FeedTarget {
  readonly client: ClientSocket;
  readonly feed: ParserFeed;
  readonly queue: RequestQueue;
  /** Serves one request after the other. */
  readonly transport = new UndiciTransport();
  readonly #server: Server;
  #unread: Buffer | undefined;
  #nextBuffer: Buffer | undefined;
  /** True after an upgrade: bytes go to the listeners of the socket. */
  #isRaw = false;
  #parser!: (this: Socket, bytes: Buffer) => void;
  readonly #onData: () => void;
  #isOver = false;
  /** The last four bytes that the parser has read. */
  #tail = 0;
  /** The last piece ends with the content of a body. */
  #endsWithContent = false;
  upgrade: UpgradeDownstream | undefined = undefined;

  /** @param readBuffer shared: what is read is copied at once */
  constructor(server: Server, client: ClientSocket, readBuffer: Buffer, unread: Buffer | undefined) {
    this.#server = server;
    this.client = client;
    this.#nextBuffer = readBuffer;
    this.#unread = unread;
    this.feed = new ParserFeed(this);
    this.#onData = client.readsBytes ? ignore : () => this.#noteBytes();
    this.queue = new RequestQueue((waits) => {
      if (waits) this.block();
      else this.unblock();
    });
  }

  get isIdle(): boolean {
    return this.feed.heldBytes === 0 && this.queue.length === 0;
  }

  /** Bytes that follow the request in progress, and the cost of requests that wait. */
  get heldBytes(): number {
    return this.feed.heldBytes + this.queue.length * WAITING_COST;
  }

  begin(): void {
    const { socket } = this.client;
    (socket as WithConnection)[CONNECTION] = this;
    this.#parse();
    const unread = this.#unread;
    this.#unread = undefined;
    if (unread !== undefined) {
      this.client.headBegun();
      this.feed.push(unread);
    }
  }

  /** Has a new parser read the connection. */
  #parse(): void {
    const { socket } = this.client;
    this.#server.emit('connection', socket);
    // Node's own listener, which the feed calls. Without a further one Node would read the socket natively, in pieces
    // of 64 KiB.
    this.#parser = socket.listeners('data')[0] as (this: Socket, bytes: Buffer) => void;
    socket.on('data', this.#onData);
    if (this.client.readsBytes) socket.removeListener('data', this.#onData);
    socket.resume();
  }

  /** Parses a request again without its upgrade headers. @param bytes read before those that wait */
  parseAgain(bytes: Buffer): void {
    this.feed.unshift(bytes);
    this.#parse();
    this.feed.feedSoon();
  }

  /** The parser is done with the connection: what waits, and what follows, goes to listeners on the socket. */
  detach(): void {
    this.#isRaw = true;
    const { socket } = this.client;
    socket.removeListener('data', this.#onData);
    const rest = this.feed.close();
    if (rest !== undefined) socket.push(rest);
  }

  takeNextBuffer(): Buffer | undefined {
    const next = this.#nextBuffer;
    this.#nextBuffer = undefined;
    return next;
  }

  onBytes(bytes: Buffer, length: number): boolean {
    if (this.#isOver) return true;
    const copy = Buffer.allocUnsafe(length);
    bytes.copy(copy, 0, 0, length);
    if (this.#isRaw) return this.client.socket.push(copy);
    this.#noteBytes();
    return this.feed.push(copy);
  }

  /** Bytes between requests begin a head. */
  #noteBytes(): void {
    const { exchange } = this.client;
    if ((exchange === undefined || exchange.phase === 'done') && this.queue.length === 0)
      this.client.headBegun();
  }

  /** Feeds the parser nothing until `unblock` was called as often. */
  block(): void {
    this.feed.block();
    if (!this.client.readsBytes) this.client.socket.pause();
  }

  unblock(): void {
    this.feed.unblock();
    if (!this.client.readsBytes) this.client.socket.resume();
  }

  /** The next `bytes` are content of a body. */
  expectContent(bytes: number): void {
    this.feed.expectContent(bytes);
  }

  take(piece: Buffer): void {
    const { socket } = this.client;
    this.#noteEnd(piece);
    // The way through the stream's own buffer is needed only while the parser has paused it.
    if (socket.isPaused() || socket.readableLength > 0) socket.push(piece);
    else this.#parser.call(socket, piece);
  }

  #noteEnd(piece: Buffer): void {
    for (let i = Math.max(0, piece.length - 4); i < piece.length; i++)
      this.#tail = (this.#tail << 8) | piece[i]!;
    this.#endsWithContent = false;
  }

  contentEnds(last: Buffer): void {
    // Node hands out a copy of the content, so its place in the piece is not known. If a head that follows happens to
    // have the same last bytes, its time counts from the next bytes that arrive; until then the connection is idle.
    const count = Math.min(4, last.length);
    let end = 0;
    for (let i = last.length - count; i < last.length; i++) end = (end << 8) | last[i]!;
    const mask = count === 4 ? -1 : (1 << (8 * count)) - 1;
    this.#endsWithContent = ((end ^ this.#tail) & mask) === 0;
  }

  requestEnds(isRead: boolean): void {
    const isBoundary = this.#tail === BLANK_LINE || this.#endsWithContent;
    if (isRead && !isBoundary && this.queue.length === 0 && this.feed.heldBytes === 0)
      this.client.headBegun();
  }

  readOn(): void {
    const { socket } = this.client;
    if (!socket.isPaused()) socket.resume();
  }

  giveUp(): void {
    this.#isOver = true;
    this.feed.close();
    this.queue.clear();
  }

  onClosed(): void {
    this.giveUp();
    this.upgrade?.onConnectionClosed();
  }
}

function ignore(): void {}
