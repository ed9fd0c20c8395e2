/**
 * What members of a release set suffer, as the services tell each other. A record stands for as long as its cause and is
 * renewed meanwhile; who reads goes by that alone, never by clocks of others. Only causes of a service's own are told,
 * never what followed from another's: so nothing keeps itself alive in a circle. Pure.
 */
import { z } from 'zod';
import type { FallenMember } from '../config/sets.ts';
import { MAX_BY, MAX_REASON } from '../overrides/override.ts';

/** Not renewed for so long: whoever told is gone. */
const STALE_MS = 10_000;

/** Taken away for so long: the cause is gone. A Redis that lost its memory is filled again before. */
const LINGER_MS = 3_000;

/** How long what was read last counts while Redis is away. */
const HOLD_MS = 60_000;

/** Replicas of all services of a set that are read. */
export const MAX_TELLERS = 256;
const MAX_TEXT = 4_096;

const name = z.string().min(1).max(63);
/** Reasons of overrides, and names. */
const reason = z.string().max(MAX_REASON + 200);

const recordSchema = z.strictObject({
  service: name,
  /** Goes up with each renewal. */
  beat: z.int().min(0),
  /** A member whose share is lowered by hand or by a guard. */
  fallen: z
    .strictObject({
      backend: name,
      ratio: z.number().min(0).max(1),
      until: z.number().positive(),
      reason,
      by: z.string().max(MAX_BY),
    })
    .optional(),
  /** A member that takes no requests. */
  lost: z.strictObject({ backend: name, reason }).optional(),
});

type FateRecord = z.output<typeof recordSchema>;

/** Of one service, as it is told to the others. */
export interface Fate {
  readonly fallen?: FallenMember | undefined;
  readonly lost?: { readonly backend: string; readonly reason: string } | undefined;
}

export interface FateElsewhere extends Fate {
  readonly service: string;
}

export function recordText(service: string, beat: number, { fallen, lost }: Fate): string {
  return JSON.stringify({ service, beat, fallen, lost } satisfies FateRecord);
}

function recordOf(text: string): FateRecord | undefined {
  if (text.length > MAX_TEXT) return undefined;
  try {
    return recordSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

interface Known {
  record: FateRecord;
  /** Monotonic milliseconds, as is all below: when it was renewed last, and when it was there last. */
  renewedAt: number;
  thereAt: number;
}

/** What the others of one set have told. */
export class FateWatch {
  readonly #service: string;
  readonly #known = new Map<string, Known>();
  #readAt = Number.NEGATIVE_INFINITY;

  /** @param service whose own records say nothing new */
  constructor(service: string) {
    this.#service = service;
  }

  /**
   * @param fields as Redis holds them, by teller
   * @returns tellers that are gone for good, or tell what nobody understands
   */
  take(fields: Readonly<Record<string, string>>, now: number): string[] {
    this.#readAt = now;
    const over: string[] = [];
    for (const [teller, text] of Object.entries(fields).slice(0, MAX_TELLERS)) {
      const record = recordOf(text);
      const known = this.#known.get(teller);
      if (record === undefined) over.push(teller);
      else if (known === undefined) this.#known.set(teller, { record, renewedAt: now, thereAt: now });
      else {
        if (record.beat !== known.record.beat) known.renewedAt = now;
        known.record = record;
        known.thereAt = now;
        if (now - known.renewedAt >= HOLD_MS) over.push(teller);
      }
    }
    for (const [teller, { thereAt, renewedAt }] of this.#known) {
      if (now - thereAt >= LINGER_MS || now - renewedAt >= 2 * HOLD_MS) this.#known.delete(teller);
    }
    return over;
  }

  /** Of each other service at most one, in the order of their names: its replicas tell the same, or the worst counts. */
  fates(now: number): FateElsewhere[] {
    if (now - this.#readAt >= HOLD_MS) return [];
    const worst = new Map<string, FateElsewhere>();
    for (const { record, renewedAt } of this.#known.values()) {
      const { service, fallen, lost } = record;
      if (service === this.#service || this.#readAt - renewedAt >= STALE_MS) continue;
      const before = worst.get(service);
      worst.set(service, {
        service,
        fallen: lower(before?.fallen, fallen),
        lost: before?.lost ?? lost,
      });
    }
    return [...worst.values()].sort((a, b) => (a.service < b.service ? -1 : 1));
  }
}

function lower(a: FallenMember | undefined, b: FallenMember | undefined): FallenMember | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return b.ratio < a.ratio ? b : a;
}
