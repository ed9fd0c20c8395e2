/**
 * The phases of an exchange, and which may follow which. `deploy/docs/contribute/architecture.md` draws them; a test
 * compares the drawing with this table.
 */

export type Phase =
  /** The downstream has read the head. The exchange can only refuse the request. */
  | 'reading'
  /** Admission, the rates and the pin's store decide. */
  | 'deciding'
  /** Waits for a place among the endpoint's connections. */
  | 'queued'
  | 'connecting'
  /** The request body is sent. */
  | 'sending'
  /** All of the request is sent; the response head has not come. */
  | 'waiting'
  | 'responding'
  /** After a 101: two pipes. */
  | 'tunneling'
  /** The response is written; the rest of the request body is read and discarded so that the client can read it. */
  | 'lingering'
  | 'done';

/** By phase, the phases that may follow it. */
export const NEXT_PHASES: Readonly<Record<Phase, readonly Phase[]>> = {
  reading: ['deciding', 'lingering', 'done'],
  deciding: ['queued', 'connecting', 'lingering', 'done'],
  queued: ['deciding', 'connecting', 'lingering', 'done'],
  // Back to `deciding`: the attempt failed, and another one follows.
  connecting: ['sending', 'waiting', 'deciding', 'lingering', 'done'],
  sending: ['waiting', 'responding', 'deciding', 'lingering', 'done'],
  waiting: ['responding', 'tunneling', 'deciding', 'lingering', 'done'],
  responding: ['lingering', 'done'],
  tunneling: ['done'],
  lingering: ['done'],
  done: [],
};

const PHASES = Object.keys(NEXT_PHASES) as Phase[];

/** Bits of the phases, and of the phases that may follow each: several checks per request have to be cheap. */
const BIT = Object.fromEntries(PHASES.map((phase, i) => [phase, 1 << i])) as Record<Phase, number>;
const NEXT_BITS = Object.fromEntries(
  PHASES.map((phase) => [phase, NEXT_PHASES[phase].reduce((bits, next) => bits | BIT[next], 0)]),
) as Record<Phase, number>;

/** True if `to` may follow `from`. */
export function mayFollow(from: Phase, to: Phase): boolean {
  return (NEXT_BITS[from] & BIT[to]) !== 0;
}
