/**
 * Whether a process takes more requests: one number, the most that may be under way, moved by what is measured. A
 * request is compared with it when it comes, so those under way go on and the newest is the one refused.
 */

/** What one look at the process says. */
export interface LoadReading {
  /** Requests under way. */
  readonly inFlight: number;
  /** Milliseconds by which the event loop is late. */
  readonly lateMs: number;
  /** Bytes that requests under way hold. */
  readonly bufferedBytes: number;
}

export interface OverloadLimits {
  /** Most requests under way. */
  readonly inFlight: number;
  /** Milliseconds; Infinity: not looked at. */
  readonly lateMs: number;
  /** Bytes; Infinity: not looked at. */
  readonly bufferedBytes: number;
}

export type ShedCause = 'inFlight' | 'eventLoop' | 'bufferedBytes';

export interface LoadState {
  /** Most requests that may be under way now. */
  readonly ceiling: number;
  /** What holds the ceiling down; `inFlight` when nothing but the configuration does. */
  readonly cause: ShedCause;
  /** Readings in a row in which the event loop was late. */
  readonly lateReadings: number;
}

/** A single late reading is a pause (garbage, a reload, a neighbour on the node); a queue that stands is late again. */
const LATE_READINGS = 2;

/** Part of the requests under way that stays admitted while the loop is late. */
const SHRINK = 0.8;

/** Growth with each reading that is not late. */
const GROWTH = 1.25;

/** The ceiling never falls below this for lateness: with none at all nothing would be measured but an idle process. */
const LEAST = 8;

export function calm(limits: OverloadLimits): LoadState {
  return { ceiling: limits.inFlight, cause: 'inFlight', lateReadings: 0 };
}

/** The state after a reading. Shrinks by a share and grows by a share, as congestion control does. */
export function nextLoadState(before: LoadState, reading: LoadReading, limits: OverloadLimits): LoadState {
  const lateReadings = reading.lateMs > limits.lateMs ? before.lateReadings + 1 : 0;
  // What holds the bytes are those under way: they go on, and no other one begins.
  if (reading.bufferedBytes > limits.bufferedBytes)
    return { ceiling: 0, cause: 'bufferedBytes', lateReadings };
  if (lateReadings >= LATE_READINGS) {
    const from = Math.min(limits.inFlight, before.cause === 'eventLoop' ? before.ceiling : Infinity);
    const ceiling = Math.max(LEAST, Math.floor(Math.min(from, reading.inFlight) * SHRINK));
    return { ceiling: Math.min(ceiling, limits.inFlight), cause: 'eventLoop', lateReadings };
  }
  if (before.cause !== 'eventLoop') return { ceiling: limits.inFlight, cause: 'inFlight', lateReadings };
  if (lateReadings > 0)
    return { ...before, ceiling: Math.min(before.ceiling, limits.inFlight), lateReadings };
  const ceiling = Math.ceil(before.ceiling * GROWTH);
  // Far above what is asked for it holds nothing down.
  if (ceiling >= limits.inFlight || ceiling > 4 * Math.max(reading.inFlight, LEAST))
    return { ceiling: limits.inFlight, cause: 'inFlight', lateReadings };
  return { ceiling, cause: 'eventLoop', lateReadings };
}
