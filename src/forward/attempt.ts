/** One attempt to have a request answered by an endpoint. Each exchange has one and reuses it for its retries. */
import type { Endpoint } from './endpoint.ts';

export class Attempt {
  /** Index of the backend in the split; -1 before one is chosen. */
  index = -1;
  endpoint: Endpoint | undefined = undefined;
  /** True if the connection has served a request before. */
  reused = false;
  /** True if at least one response byte was received: from then on the request is not sent again. */
  responseBegun = false;
  /** True while a connection, or a place for one, belongs to this attempt. */
  open = false;
  /** When the connection was taken or begun, clock milliseconds; -1: never. */
  dispatchedAt = -1;
  /** When the request, or its latest part, was sent. */
  sentAt = -1;
  /** Milliseconds; -1 if the phase was not reached. */
  connectMs = -1;
  responseMs = -1;

  /** Starts over on a connection of `endpoint`. @param now clock milliseconds */
  begin(now: number, reused: boolean): void {
    this.open = true;
    this.reused = reused;
    this.responseBegun = false;
    this.dispatchedAt = now;
  }
}
