/** The upstream's side of a request on the full lane: undici, with one dispatch handler per attempt. */
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import type { IncomingHttpHeaders } from 'undici/types/header.js';
import { isLocalShortage } from '../../backends/socket-error.ts';
import { BodyPart, NO_TRAILERS } from '../../http/body-part.ts';
import type { KeptBody } from '../../http/kept-body.ts';
import type { RequestBody } from '../../http/request-body.ts';
import { passableTrailers } from '../../http/response-head.ts';
import type { Attempt } from '../attempt.ts';
import { readOnAfterFailedWrite } from '../connect-upstream.ts';
import type { Endpoint } from '../endpoint.ts';
import type { UpstreamEvents, UpstreamTransport } from '../ports.ts';
import type { FailureReason } from '../reasons.ts';
import { BodySource } from './body-source.ts';
import { UndiciConnection } from './undici-connection.ts';
import { BadResponseError, failureOf } from './undici-failure.ts';
import { isCodingUnderstood, readUndiciHead } from './undici-head.ts';

const ABORTED = new Error('the attempt was given up');

/** Content that was just read; used within one call only. */
const part = new BodyPart();

export class UndiciTransport implements UpstreamTransport {
  #events!: UpstreamEvents;
  #dispatch: UndiciDispatch | undefined = undefined;

  attach(events: UpstreamEvents): void {
    this.#events = events;
    this.#dispatch = undefined;
  }

  /** The high-water mark of the socket bounds the bytes that undici has written: the body source pauses there. */
  get heldBytes(): number {
    return this.#dispatch?.pendingBytes ?? 0;
  }

  /** Every request has its own connection: undici would retry broken pipelined requests by itself. */
  join(): boolean {
    return false;
  }

  start(attempt: Attempt, body: RequestBody | undefined, fresh: boolean): void {
    const endpoint = attempt.endpoint!;
    const connection =
      endpoint.pool.take<UndiciConnection>('client', fresh) ?? new UndiciConnection(endpoint.pool);
    this.#events.onConnecting(connection.open && connection.served > 0);
    const dispatch = new UndiciDispatch(this.#events, endpoint, connection, body);
    this.#dispatch = dispatch;
    dispatch.start();
  }

  sendKept(kept: KeptBody, last: boolean): boolean {
    return this.#dispatch!.send(kept.joined(), last);
  }

  send({ bytes, start, end, immutable }: BodyPart, _stable: boolean, last: boolean): boolean {
    const content = end - start === bytes.length ? bytes : bytes.subarray(start, end);
    return this.#dispatch!.send(immutable ? content : Buffer.from(content), last);
  }

  resume(): void {
    this.#dispatch?.resume();
  }

  abort(): void {
    this.#dispatch?.abort();
    this.#dispatch = undefined;
  }
}

/** One attempt. After `abort`, and after its end, it tells its exchange nothing. */
class UndiciDispatch implements Dispatcher.DispatchHandler {
  readonly #events: UpstreamEvents;
  readonly #endpoint: Endpoint;
  readonly #connection: UndiciConnection;
  readonly #body: RequestBody | undefined;
  readonly #isHead: boolean;
  #source: BodySource | undefined = undefined;
  #controller: Dispatcher.DispatchController | undefined = undefined;
  #headSeen = false;
  #isOver = false;

  constructor(
    events: UpstreamEvents,
    endpoint: Endpoint,
    connection: UndiciConnection,
    body: RequestBody | undefined,
  ) {
    this.#events = events;
    this.#endpoint = endpoint;
    this.#connection = connection;
    this.#body = body;
    this.#isHead = events.request.facts.method === 'HEAD';
  }

  get pendingBytes(): number {
    return this.#connection.socket?.writableLength ?? 0;
  }

  start(): void {
    const { method, path } = this.#events.request.facts;
    const headers = this.#events.upstreamList();
    if (headers[1] === '') headers[1] = this.#endpoint.authority;
    this.#connection.client.dispatch(
      {
        path,
        method: method as Dispatcher.HttpMethod,
        headers,
        body: this.#bodyForUndici(),
        // Left to itself undici closes the connection after HEAD and after bodies of unusual methods.
        reset: false,
      },
      this,
    );
  }

  #bodyForUndici(): Buffer | Readable | null {
    const body = this.#body;
    if (body === undefined) return null;
    // Content of unknown length stays chunked, also when all of it is here: both lanes send the same.
    const isLengthKnown = this.#events.request.contentLength > 0;
    if (isLengthKnown && body.ended && body.kept !== undefined) return body.kept.joined();
    this.#source = new BodySource(
      () => this.#guard(() => this.#events.takeBody()),
      () => this.#guard(() => this.#events.onUpstreamDrained()),
    );
    return this.#source as unknown as Readable;
  }

  /** @returns false if undici has paused */
  send(content: Buffer, last: boolean): boolean {
    const source = this.#source!;
    const flows = content.length === 0 || source.write(content);
    if (last) source.finish();
    return flows;
  }

  resume(): void {
    this.#controller?.resume();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#isOver) {
      controller.abort(ABORTED);
      return;
    }
    if (this.#source !== undefined && this.#connection.socket !== undefined) {
      readOnAfterFailedWrite(this.#connection.socket);
    }
    try {
      this.#events.onConnected();
    } catch (error) {
      this.#events.onInternalError(error);
    }
  }

  onResponseStarted(): void {
    if (!this.#isOver) this.#events.onResponseBegun();
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    statusText?: string,
  ): void {
    if (this.#isOver) return;
    if (!isCodingUnderstood(headers['transfer-encoding'])) {
      controller.abort(new BadResponseError('its Transfer-Encoding is not chunked'));
      return;
    }
    const raw = controller.rawHeaders as readonly Buffer[];
    this.#headSeen ||= status >= 200;
    // An error of our own in here ends the request: undici would end its connection, and hide it.
    try {
      const { policy } = this.#events;
      const head = readUndiciHead(raw, headers, status, statusText ?? '', this.#isHead, policy);
      // undici cannot pause between interim responses: their bound alone limits what waits for the client.
      const next = this.#events.onResponseHead(head);
      if (next === 'continue' && status >= 200 && head.framing !== 'length') this.#events.onHeadAlone();
    } catch (error) {
      this.#events.onInternalError(error);
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#isOver) return;
    try {
      if (!this.#events.onResponseBody(part.whole(chunk), false, NO_TRAILERS)) controller.pause();
    } catch (error) {
      this.#events.onInternalError(error);
    }
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (this.#isOver) return;
    const raw = (controller.rawTrailers ?? []) as readonly Buffer[];
    const trailers = raw.length === 0 ? NO_TRAILERS : raw.map((text) => text.toString('latin1'));
    const { broken } = this.#connection;
    this.#release(!broken && !endsConnection(trailers));
    try {
      if (broken) this.#events.onAttemptFailed('upstream_truncated', false);
      else this.#events.onResponseEnd(passableTrailers(trailers));
    } catch (error) {
      this.#events.onInternalError(error);
    }
  }

  onResponseError(_controller: Dispatcher.DispatchController | null | undefined, error: Error): void {
    if (this.#isOver) return;
    const reason: FailureReason = failureOf(error, this.#controller !== undefined, this.#headSeen);
    this.#release(false);
    this.#guard(() => this.#events.onAttemptFailed(reason, isLocalShortage(error)));
  }

  abort(): void {
    if (this.#isOver) return;
    this.#release(false);
    // Before the connection is open, undici has no request to abort. The destroyed connection ends it.
    this.#controller?.abort(ABORTED);
  }

  #release(reusable: boolean): void {
    this.#isOver = true;
    this.#source?.detach();
    const connection = this.#connection;
    connection.served++;
    if (!reusable) connection.destroy();
    this.#endpoint.pool.release(reusable ? connection : undefined);
  }

  /** Calls the exchange. An error there ends its request: undici would end its connection, and hide it. */
  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#events.onInternalError(error);
    }
  }
}

/** llhttp takes Connection among the trailers for one of the head, and what comes next on the connection for garbage. */
function endsConnection(trailers: readonly string[]): boolean {
  return trailers.some((name, i) => i % 2 === 0 && /^(?:proxy-)?connection$/i.test(name));
}
