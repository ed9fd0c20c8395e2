/** The client's side of a request on the full lane: `node:http` reads the request and writes the response. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { BodyPart } from '../../http/body-part.ts';
import type { Exchange } from '../exchange.ts';
import type { ForwardPolicy } from '../policy.ts';
import type { Downstream, DownstreamEvents, EndKind } from '../ports.ts';
import type { FailureReason } from '../reasons.ts';
import type { RequestHead } from '../request-head.ts';
import { GatheredBody } from './gathered-body.ts';
import { NodeResponse } from './node-response.ts';

/** Connection of a request. */
export interface RequestFeed {
  /** Reads no further. */
  block(): void;
  unblock(): void;
  /** The next `bytes` are content of the request body. */
  expectContent(bytes: number): void;
  /** The request body, whose length was known, ends with this buffer. */
  contentEnds(last: Buffer): void;
  /**
   * The latest request is over. What the parser has read of the next one has to be completed in time.
   *
   * @param isRead true if all of the request was read
   */
  requestEnds(isRead: boolean): void;
  /** Bytes that follow the request and wait. */
  readonly heldBytes: number;
}

/** A request body of known length up to this size is read before anything is sent, if it comes with the head. */
const MAX_COLLECTED = 16 * 1024;

const DOWNSTREAM = Symbol('downstream');

interface WithDownstream {
  [DOWNSTREAM]?: FullDownstream;
}

/** Content that was just read; used within one call only. */
const part = new BodyPart();

const NOTHING = Buffer.alloc(0);

export class FullDownstream implements Downstream {
  readonly request: RequestHead;
  readonly response: NodeResponse;
  readonly #req: IncomingMessage;
  readonly #connection: RequestFeed;
  readonly #expectsContinue: boolean;
  #events!: DownstreamEvents;
  #gathered: GatheredBody | undefined = undefined;
  #received = 0;
  #ended = false;
  #lastDelivered = false;
  #isInvited = false;
  #isBlocked = false;
  #isAbandoned = false;
  #discards = true;

  constructor(
    req: IncomingMessage,
    res: ServerResponse,
    request: RequestHead,
    policy: ForwardPolicy,
    connection: RequestFeed,
    expectsContinue: boolean,
  ) {
    this.#req = req;
    this.#connection = connection;
    this.#expectsContinue = expectsContinue;
    this.request = request;
    this.response = new NodeResponse(req, res, request, policy, this);
    (res as ServerResponse & WithDownstream)[DOWNSTREAM] = this;
    res.on('close', onResponseClose);
  }

  attach(events: DownstreamEvents): void {
    this.#events = events;
  }

  get requestEnded(): boolean {
    return !this.request.hasBody || this.#req.complete;
  }

  get canDiscard(): boolean {
    return this.#discards;
  }

  get heldBytes(): number {
    const gathered = this.#gathered?.heldBytes ?? 0;
    const { heldBytes } = this.#connection;
    return gathered + heldBytes + this.#req.readableLength + this.response.pendingBytes;
  }

  /** Serves the request, or refuses it. @param refused reason known before the head was read */
  run(exchange: Exchange, refused: FailureReason | undefined): void {
    const { facts, refusal, refusalDetail, hasBody, contentLength } = this.request;
    if (refused !== undefined) exchange.fail(refused);
    else if (refusal !== undefined) exchange.fail(refusal, refusalDetail);
    else if (facts.path === '*') {
      this.response.answerServerOptions();
      exchange.answered();
    } else if (exchange.open()) {
      if (!hasBody) {
        exchange.serve();
        return;
      }
      this.#read();
      const isSmall = contentLength > 0 && contentLength <= MAX_COLLECTED && !this.#expectsContinue;
      // After the first delivery of data: what came with the head is here then, and leaves with it in one write.
      if (isSmall) process.nextTick(serve, exchange);
      else exchange.serve();
    }
  }

  #read(): void {
    (this.#req as IncomingMessage & WithDownstream)[DOWNSTREAM] = this;
    this.#req.on('data', onData);
    const { contentLength } = this.request;
    if (contentLength === -1) this.#req.on('end', onEnd);
    else this.#connection.expectContent(contentLength);
  }

  onData(chunk: Buffer): void {
    this.#received += chunk.length;
    // The stream's own end comes some turns later.
    const isLast = this.#received === this.request.contentLength;
    if (isLast) this.#connection.contentEnds(chunk);
    if (this.#isAbandoned) return;
    if (this.#gathered === undefined && isLast) {
      // The usual case: the whole body in one piece.
      this.#ended = true;
      this.#deliver(part.whole(chunk));
      return;
    }
    this.#gathered ??= new GatheredBody(part, (content) => this.#deliver(content));
    this.#gathered.add(chunk);
    if (isLast) this.onEnd();
  }

  onEnd(): void {
    this.#ended = true;
    if (this.#isAbandoned) return;
    this.#gathered?.flush();
    if (!this.#lastDelivered) this.#deliver(part.whole(NOTHING));
  }

  #deliver(content: BodyPart): void {
    this.#lastDelivered = this.#ended;
    // The client did not wait. Node would close the connection after a response that no 100 came before.
    if (this.#ended) this.#invite();
    try {
      const flows = this.#events.onRequestBody(content, true, this.#ended);
      if (!flows && !this.#ended) this.#block();
    } catch (error) {
      this.#events.onInternalError(error);
    }
  }

  #block(): void {
    if (this.#isBlocked) return;
    this.#isBlocked = true;
    this.#connection.block();
  }

  #unblock(): void {
    if (!this.#isBlocked) return;
    this.#isBlocked = false;
    this.#connection.unblock();
  }

  resumeBody(): void {
    this.#invite();
    this.#unblock();
  }

  #invite(): void {
    if (this.#expectsContinue && !this.#isInvited) this.response.invite();
    this.#isInvited = true;
  }

  abandonBody(): void {
    this.#isAbandoned = true;
    this.#gathered?.clear();
    this.#unblock();
  }

  finish(kind: EndKind): void {
    if (kind !== 'lingering') return;
    this.#req.once('end', () => this.#guard(() => this.#events.onLingered()));
    this.#req.resume();
  }

  destroy(): void {
    this.response.destroy();
  }

  onDrained(): void {
    this.#guard(() => this.#events.onClientDrained());
  }

  onClosed(): void {
    try {
      this.#unblock();
      this.#connection.requestEnds(this.requestEnded);
      this.#events.onClosed();
    } catch (error) {
      this.#events.onInternalError(error);
    }
  }

  /** llhttp gave up on the connection: nothing more can be read from it. */
  onGarbage(): void {
    this.#guard(() => this.#endAtGarbage());
  }

  #endAtGarbage(): void {
    const client = this.response;
    if (!this.#req.complete && !this.#isAbandoned) {
      // It was our body. No end of it will come that one could wait for.
      this.#discards = false;
      this.#events.onRequestMalformed();
    } else if (client.begun && client.closes && !client.finished) {
      this.#events.onLingered();
      client.endConnection();
    } else {
      client.endConnection();
    }
  }

  /** Calls the exchange. An error there ends its request: out of an event of Node it would end the process. */
  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#events.onInternalError(error);
    }
  }

  /** Upgrades have a separate downstream. */
  switchProtocols(): void {
    throw new Error('an ordinary request does not switch protocols');
  }

  endTunnel(): void {}
}

function onData(this: IncomingMessage, chunk: Buffer): void {
  (this as IncomingMessage & WithDownstream)[DOWNSTREAM]!.onData(chunk);
}

function onEnd(this: IncomingMessage): void {
  (this as IncomingMessage & WithDownstream)[DOWNSTREAM]!.onEnd();
}

function onResponseClose(this: ServerResponse): void {
  (this as ServerResponse & WithDownstream)[DOWNSTREAM]!.onClosed();
}

function serve(exchange: Exchange): void {
  // Refused meanwhile, or the client has left.
  if (exchange.phase !== 'reading') return;
  try {
    exchange.serve();
  } catch (error) {
    exchange.onInternalError(error);
  }
}
