/** What operators may do: requests as they come in, judged and carried out, each told in the log. */
import { z } from 'zod';
import { formatDuration, parseDuration } from '../config/units.ts';
import {
  describeTarget,
  MAX_BY,
  MAX_DURATION_MS,
  MAX_REASON,
  MIN_DURATION_MS,
  type Override,
  type OverrideTarget,
} from '../overrides/override.ts';
import {
  type Circumstances,
  findOverride,
  type Judged,
  judgeDrain,
  judgeSplit,
  judgeUndrain,
} from '../overrides/request.ts';
import { shownOverride } from '../overrides/shown.ts';
import { MAX_USER_LENGTH, userOfText } from '../pinning/user-id.ts';

/** What the actions work upon. */
export interface ActionEdges {
  readonly circumstances: () => Circumstances;
  readonly set: (request: {
    readonly target: OverrideTarget;
    readonly durationMs: number;
    readonly reason: string;
    readonly by: string;
  }) => Override;
  readonly end: (override: Override) => void;
  /** Whether overrides reach the other replicas: undefined when no Redis is configured. */
  readonly shared: () => { readonly state: string; readonly reason: string } | undefined;
  /** Names of the pins that remember users. */
  readonly pins: () => readonly string[];
  readonly forgetPin: (pin: string, user: string) => void;
  readonly checkNow: () => void;
  /** Reads the file again; resolves to what became of it. */
  readonly reload: () => Promise<{ readonly ok: boolean; readonly message: string }>;
  readonly dump: () => Promise<unknown>;
  /** One line of the log. Never handed a token or the id of a user. */
  readonly audit: (fields: Readonly<Record<string, unknown>>, message: string) => void;
  readonly count: (action: ActionName, result: 'done' | 'refused') => void;
}

export interface ActionAnswer {
  readonly status: number;
  readonly body: unknown;
}

const by = z
  .string()
  .trim()
  .max(MAX_BY)
  .regex(/^[^\p{C}]*$/u, 'holds control characters')
  .default('');
const reason = z
  .string({ error: 'say why: reason is missing' })
  .trim()
  .min(1, 'say why: reason is empty')
  .max(MAX_REASON)
  .regex(/^[^\p{C}]*$/u, 'holds control characters');
const time = z
  .string({ error: 'say for how long: for is missing, such as 30m' })
  .transform((text, context) => {
    const ms = parseDuration(text);
    if (ms !== undefined && ms >= MIN_DURATION_MS && ms <= MAX_DURATION_MS) return ms;
    context.issues.push({
      code: 'custom',
      input: text,
      message: `is not a time from ${formatDuration(MIN_DURATION_MS)} to ${formatDuration(MAX_DURATION_MS)}, such as 30m`,
    });
    return z.NEVER;
  });
const name = z.string().min(1).max(128);
const drainOf = { backend: name, endpoint: name.optional() };

const BODIES = {
  split: z.strictObject({
    route: name,
    weights: z.record(name, z.int('is no whole number').min(0).max(1_000_000)),
    for: time,
    reason,
    by,
  }),
  drain: z.strictObject({ ...drainOf, for: time, reason, by, force: z.boolean().default(false) }),
  undrain: z.strictObject({ ...drainOf, by }),
  end: z.strictObject({ override: name, by }),
  'forget-pin': z.strictObject({
    pin: name.optional(),
    user: z
      .string()
      .min(1)
      .max(4 * MAX_USER_LENGTH),
    by,
  }),
  check: z.strictObject({ by }),
  reload: z.strictObject({ by }),
  dump: z.strictObject({ by }),
} as const;

export type ActionName = keyof typeof BODIES;
type Body<Name extends ActionName> = z.output<(typeof BODIES)[Name]>;

export const ACTION_NAMES = Object.keys(BODIES) as readonly ActionName[];

export function isAction(text: string): text is ActionName {
  return Object.hasOwn(BODIES, text);
}

export class Actions {
  readonly #edges: ActionEdges;

  constructor(edges: ActionEdges) {
    this.#edges = edges;
  }

  /**
   * @param body as parsed from JSON
   * @param from address of the peer, for the log
   */
  async run(action: ActionName, body: unknown, from: string): Promise<ActionAnswer> {
    const parsed = BODIES[action].safeParse(body);
    if (!parsed.success) {
      this.#edges.count(action, 'refused');
      const [issue] = parsed.error.issues;
      const path = issue?.path.join('.') ?? '';
      return refusal(400, `${path === '' ? '' : `${path} `}${issue?.message ?? 'is not understood'}`);
    }
    const answer = await this.#carryOut(action, parsed.data, from);
    this.#edges.count(action, answer.status < 400 ? 'done' : 'refused');
    return answer;
  }

  #carryOut(action: ActionName, body: unknown, from: string): ActionAnswer | Promise<ActionAnswer> {
    switch (action) {
      case 'split': {
        const request = body as Body<'split'>;
        return this.#set(judgeSplit(request, this.#edges.circumstances()), request, from);
      }
      case 'drain': {
        const request = body as Body<'drain'>;
        return this.#set(judgeDrain(request, this.#edges.circumstances(), request.force), request, from);
      }
      case 'undrain': {
        const request = body as Body<'undrain'>;
        return this.#end(judgeUndrain(request, this.#edges.circumstances()), request.by, from);
      }
      case 'end': {
        const request = body as Body<'end'>;
        return this.#end(findOverride(request.override, this.#edges.circumstances()), request.by, from);
      }
      case 'forget-pin':
        return this.#forget(body as Body<'forget-pin'>, from);
      case 'check':
        this.#edges.checkNow();
        this.#audit('checks asked for', body as Body<'check'>, from);
        return done({ message: 'every name is asked for and every endpoint checked now' });
      case 'reload':
        return this.#reload(body as Body<'reload'>, from);
      case 'dump':
        return this.#dump(body as Body<'dump'>, from);
    }
  }

  #set(
    judged: Judged<OverrideTarget>,
    request: { readonly for: number; readonly reason: string; readonly by: string },
    from: string,
  ): ActionAnswer {
    if ('refusal' in judged) return refused(judged.refusal);
    const override = this.#edges.set({
      target: judged.value,
      durationMs: request.for,
      reason: request.reason,
      by: request.by === '' ? from : request.by,
    });
    this.#audit(`override set: ${describeTarget(override.target)}`, request, from, {
      override: override.id,
      until: new Date(override.until).toISOString(),
      reason: override.reason,
    });
    return done({
      message: `${describeTarget(override.target)}, until ${new Date(override.until).toISOString()}`,
      override: shownOverride(override),
      shared: this.#sharing(),
    });
  }

  #end(judged: Judged<Override>, who: string, from: string): ActionAnswer {
    if ('refusal' in judged) return refused(judged.refusal);
    const override = judged.value;
    this.#edges.end(override);
    this.#audit(`override ended: ${describeTarget(override.target)}`, { by: who }, from, {
      override: override.id,
    });
    return done({
      message: `ended: ${describeTarget(override.target)}`,
      override: shownOverride(override),
      shared: this.#sharing(),
    });
  }

  #forget({ pin, user: text, by: who }: Body<'forget-pin'>, from: string): ActionAnswer {
    const pins = this.#edges.pins();
    if (pin !== undefined && !pins.includes(pin)) {
      return refusal(404, `no pin ${pin} remembers users; those that do: ${pins.join(', ') || 'none'}`);
    }
    if (pins.length === 0) return refusal(404, 'no pin of this table remembers users');
    const user = userOfText(text);
    if (user === undefined) return refusal(400, `user is empty, or longer than ${MAX_USER_LENGTH} bytes`);
    const meant = pin === undefined ? pins : [pin];
    for (const each of meant) this.#edges.forgetPin(each, user);
    this.#audit('pin of a user forgotten', { by: who }, from, { pins: meant });
    return done({
      message: `forgotten in ${meant.join(', ')}; other replicas know until redis.cacheTtl has passed`,
    });
  }

  async #reload(body: Body<'reload'>, from: string): Promise<ActionAnswer> {
    this.#audit('reload asked for', body, from);
    const { ok, message } = await this.#edges.reload();
    return ok ? done({ message }) : refusal(409, message);
  }

  async #dump(body: Body<'dump'>, from: string): Promise<ActionAnswer> {
    this.#audit('state dumped', body, from);
    return { status: 200, body: await this.#edges.dump() };
  }

  /** Said with every override, since an operator must know how far the brake reaches. */
  #sharing(): string {
    const shared = this.#edges.shared();
    if (shared === undefined) return 'this replica alone, until it ends: no Redis is configured';
    if (shared.state === 'closed') return 'all replicas of the service, through Redis';
    return `this replica; the others once Redis is back (${shared.reason})`;
  }

  #audit(
    message: string,
    { by: who }: { readonly by: string },
    from: string,
    more: Readonly<Record<string, unknown>> = {},
  ): void {
    this.#edges.audit({ audit: true, from, ...(who === '' ? {} : { by: who }), ...more }, message);
  }
}

function done(body: Readonly<Record<string, unknown>>): ActionAnswer {
  return { status: 200, body: { ok: true, ...body } };
}

function refusal(status: number, message: string): ActionAnswer {
  return { status, body: { ok: false, message } };
}

function refused({ kind, message }: { readonly kind: 'unknown' | 'conflict'; readonly message: string }) {
  return refusal(kind === 'unknown' ? 404 : 409, message);
}
