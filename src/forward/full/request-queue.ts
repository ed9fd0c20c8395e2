/**
 * Requests that follow the request in progress on the same connection. Node's parser runs ahead and would have all of them served
 * at once: what changes something out of order (RFC 9112 §9.3.2), and hundreds at the upstream for one packet of a client.
 */
import { MAX_IN_A_ROW } from '../client-socket.ts';
import type { RequestInProgress } from '../peer.ts';

interface Waiting {
  /** Called when its turn comes, if it comes. */
  readonly serve: () => RequestInProgress;
  /** True if the bytes after it cannot be parsed. */
  garbageBehind: boolean;
}

export class RequestQueue {
  #waiting: Waiting[] = [];
  #inARow = 0;
  #isDeferred = false;
  /** Latest value passed to `onWaiting`. */
  #waits = false;
  readonly #onWaiting: (waits: boolean) => void;

  /** @param onWaiting called when a first request waits, and when none does any more */
  constructor(onWaiting: (waits: boolean) => void) {
    this.#onWaiting = onWaiting;
  }

  get length(): number {
    return this.#waiting.length;
  }

  add(serve: () => RequestInProgress): void {
    this.#waiting.push({ serve, garbageBehind: false });
    this.#tell();
  }

  /** The bytes behind everything that arrived cannot be parsed. */
  onGarbage(latest: RequestInProgress): void {
    const last = this.#waiting.at(-1);
    if (last === undefined) latest.onGarbage();
    else last.garbageBehind = true;
  }

  /** Serves the next request; after `MAX_IN_A_ROW` of them, in a separate turn. */
  next(): void {
    if (this.#isDeferred) return;
    if (this.#waiting.length > 0 && ++this.#inARow > MAX_IN_A_ROW) {
      this.#isDeferred = true;
      setImmediate(goOn, this);
      return;
    }
    const next = this.#waiting.shift();
    if (next === undefined) return;
    try {
      const request = next.serve();
      if (next.garbageBehind) request.onGarbage();
    } finally {
      this.#tell();
    }
  }

  /** Other connections have had a turn. */
  goOn(): void {
    this.#isDeferred = false;
    this.#inARow = 0;
    this.next();
  }

  /** The connection ends: nothing that waits is served. */
  clear(): void {
    this.#waiting = [];
    this.#tell();
  }

  /** Each change once: the connection counts its reasons to feed the parser nothing. */
  #tell(): void {
    const waits = this.#waiting.length > 0;
    if (waits === this.#waits) return;
    this.#waits = waits;
    this.#onWaiting(waits);
  }
}

function goOn(queue: RequestQueue): void {
  queue.goOn();
}
