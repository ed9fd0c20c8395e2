/**
 * Requests behind one that is under way on the same connection. Node's parser runs ahead and would have all of them served
 * at once: what changes something out of order (RFC 9112, 9.3.2), and hundreds at the upstream for one packet of a client.
 */
import type { Socket } from 'node:net';
import type { Peer, UnderWay } from './peer.ts';

/** When so many wait, no more is read from their connection. As long as it is read, a client that leaves is noticed. */
const MAX_WAITING = 32;

interface Waiting {
  readonly serve: () => UnderWay;
  /** What came behind it is no HTTP. */
  garbageBehind: boolean;
}

export class RequestQueue {
  readonly #waiting = new WeakMap<Socket, Waiting[]>();

  /** @param serve called when its turn comes, if it comes */
  add(socket: Socket, peer: Peer, serve: () => UnderWay): void {
    let waiting = this.#waiting.get(socket);
    if (waiting === undefined) {
      waiting = [];
      this.#waiting.set(socket, waiting);
      peer.next = (closes) => this.#next(socket, closes);
    }
    waiting.push({ serve, garbageBehind: false });
    if (waiting.length === MAX_WAITING) socket.pause();
  }

  /** The bytes behind all that came so far are no HTTP. */
  onGarbage(socket: Socket, latest: UnderWay): void {
    const last = this.#waiting.get(socket)?.at(-1);
    if (last === undefined) latest.onGarbage();
    else last.garbageBehind = true;
  }

  #next(socket: Socket, closes: boolean): void {
    const waiting = this.#waiting.get(socket)!;
    if (closes || socket.destroyed || socket.writableEnded) {
      waiting.length = 0;
      return;
    }
    const next = waiting.shift();
    if (next === undefined) return;
    if (waiting.length === MAX_WAITING - 1) socket.resume();
    const exchange = next.serve();
    if (next.garbageBehind) exchange.onGarbage();
  }
}
