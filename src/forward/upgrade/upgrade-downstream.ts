/** The client's side of an upgrade: a request read by `node:http`, then a bare socket. */
import type { Socket } from 'node:net';
import type { ResponseHead } from '../../http/response-head.ts';
import { endAndLinger } from '../end-connection.ts';
import type { ForwardPolicy } from '../policy.ts';
import type { Downstream, DownstreamEvents, EndKind } from '../ports.ts';
import type { RequestHead } from '../request-head.ts';
import { SocketResponse } from '../socket-response.ts';
import { TunnelStream } from './tunnel-stream.ts';

export class UpgradeDownstream implements Downstream {
  readonly request: RequestHead;
  readonly response: SocketResponse;
  readonly socket: Socket;
  /** The client's end of the tunnel, for the transport. */
  readonly stream: TunnelStream;
  readonly requestEnded = true;
  readonly canDiscard = false;
  #events!: DownstreamEvents;
  #end: EndKind | undefined = undefined;
  #isOver = false;

  /** @param head bytes that follow the request head */
  constructor(socket: Socket, head: Buffer, request: RequestHead, policy: ForwardPolicy) {
    this.request = request;
    this.socket = socket;
    this.stream = new TunnelStream(socket, (inbound, outbound) =>
      this.#events.onTunnelBytes(inbound, outbound),
    );
    this.response = new SocketResponse(this, request, policy, true);
    // Each direction of a tunnel ends by itself.
    socket.allowHalfOpen = true;
    socket.on('data', (bytes: Buffer) => {
      if (!this.stream.takeBytes(bytes)) socket.pause();
    });
    socket.once('end', () => {
      // A client that ends its side during the handshake has left.
      if (this.response.status === 101) this.stream.takeEnd();
      else socket.destroy();
    });
    if (head.length > 0) this.stream.takeBytes(head);
  }

  attach(events: DownstreamEvents): void {
    this.#events = events;
  }

  get heldBytes(): number {
    const { stream, socket } = this;
    return socket.writableLength + stream.writableLength + stream.readableLength + socket.readableLength;
  }

  resumeBody(): void {}

  abandonBody(): void {}

  awaitFlush(): void {
    this.socket.write('', () => this.#guard(() => this.#onFlushed()));
  }

  #onFlushed(): void {
    if (this.#end === undefined) this.#events.onClientDrained();
    else if (this.response.finished) this.#over();
  }

  finish(kind: EndKind): void {
    this.#end = kind;
    if (this.response.finished) this.#over();
    else this.awaitFlush();
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#events.onClosed();
    endAndLinger(this.socket);
  }

  switchProtocols(head: ResponseHead): void {
    this.response.switchProtocols(head);
    this.stream.open();
  }

  endTunnel(): void {
    const { stream, socket } = this;
    if (stream.writableFinished) socket.destroySoon();
    else stream.end(() => socket.destroySoon());
  }

  destroy(): void {
    // Ending in order would make what is cut look complete.
    this.socket.resetAndDestroy();
  }

  onConnectionClosed(): void {
    this.stream.destroy();
    if (this.#isOver) return;
    this.#isOver = true;
    this.#guard(() => this.#events.onClosed());
  }

  onGarbage(): void {}

  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#events.onInternalError(error);
    }
  }
}
