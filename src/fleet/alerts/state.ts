/**
 * What is known of every trouble between surveys, and what becomes of it with the next one: pending → firing → resolved.
 * Pure. Every change that is to be told becomes a notice in the outbox of each channel, in the same step, so that what is
 * remembered and what is to be sent can never disagree.
 */

import { z } from 'zod';
import type { Delivery } from '../../alerts/delivery.ts';
import { type Finding, identityOf, rankOf, type Severity } from '../finding.ts';
import type { FleetSettings } from '../settings.ts';

const text = z.string().max(4_096);
const time = z.number().min(0);
const severity = z.enum(['info', 'warning', 'unknown', 'critical']);

const troubleSchema = z.strictObject({
  kind: text,
  severity,
  namespace: text,
  service: text,
  object: text,
  message: text,
  advice: text,
  since: time,
  state: z.enum(['pending', 'firing', 'clearing']),
  /** Surveys in a row that saw it (pending), or did not (clearing). */
  count: z.int().min(0),
  firstSeen: time,
  /** When it was last told of; 0: never. */
  toldAt: time,
  /** The severity that was told. */
  told: severity,
  /** When it began to fire or was resolved, within the last hour. */
  changes: z.array(time).max(200),
  flapping: z.boolean(),
});

const noticeSchema = z.strictObject({
  what: z.enum(['firing', 'worse', 'reminder', 'resolved', 'flapping']),
  identity: text,
  kind: text,
  severity,
  namespace: text,
  service: text,
  object: text,
  message: text,
  advice: text,
  since: time,
  /** When it was decided. */
  at: time,
});

const messageSchema = z.strictObject({
  /** Tells messages apart for ever; the Message-ID of an e-mail is made of it. */
  id: text,
  channel: z.enum(['slack', 'email']),
  cluster: text,
  at: time,
  notices: z.array(noticeSchema).max(1_000),
  attempts: z.int().min(0),
  /** Not before; 0: at once. */
  notBefore: time,
  lastError: text,
});

export const alertStateSchema = z.strictObject({
  version: z.literal(1),
  troubles: z.record(z.string(), troubleSchema),
  outbox: z.array(messageSchema).max(1_000),
  /** When messages went out within the last hour, by channel. */
  sent: z.strictObject({ slack: z.array(time), email: z.array(time) }),
  /** How many messages there ever were. */
  serial: z.int().min(0),
  /** Troubles and messages that did not fit. */
  dropped: z.int().min(0),
});

export type AlertState = z.output<typeof alertStateSchema>;
export type Trouble = z.output<typeof troubleSchema>;
export type Notice = z.output<typeof noticeSchema>;
export type Message = z.output<typeof messageSchema>;
export type Channel = Message['channel'];

export const NOTHING_KNOWN: AlertState = {
  version: 1,
  troubles: {},
  outbox: [],
  sent: { slack: [], email: [] },
  serial: 0,
  dropped: 0,
};

const HOUR = 3_600_000;
/** A ConfigMap holds 1 MiB. */
export const MAX_TROUBLES = 1_000;
const MAX_NOTICES = 100;
const MAX_OUTBOX = 50;

export interface Observation {
  readonly cluster: string;
  readonly at: number;
  readonly findings: readonly Finding[];
}

type AlertSettings = FleetSettings['alerts'];

/** Kinds of the API that could not be seen: what depends on them is neither better nor worse. */
function blindness(findings: readonly Finding[]): (trouble: Trouble) => boolean {
  const blind = findings.filter(({ kind }) => kind === 'not-seen' || kind === 'no-services');
  if (blind.length === 0) return () => false;
  return ({ namespace, kind }) =>
    kind !== 'not-seen' &&
    kind !== 'no-services' &&
    blind.some((gap) => gap.namespace === '' || gap.namespace === namespace);
}

export function nextState(
  state: AlertState,
  survey: Observation,
  settings: AlertSettings,
  channels: readonly Channel[],
): AlertState {
  const { at, cluster } = survey;
  const least = rankOf(settings.least);
  const seen = new Map<string, Finding>();
  for (const finding of survey.findings) {
    if (rankOf(finding.severity) >= least) seen.set(identityOf(cluster, finding), finding);
  }
  const isBlind = blindness(survey.findings);
  const troubles: Record<string, Trouble> = {};
  const notices: Notice[] = [];
  let { dropped } = state;
  for (const [identity, trouble] of Object.entries(state.troubles)) {
    const finding = seen.get(identity);
    const next =
      finding !== undefined
        ? stillThere(trouble, finding, at, settings)
        : isBlind(trouble)
          ? { trouble, what: undefined }
          : gone(trouble, at, settings);
    if (next.what !== undefined) notices.push(noticeOf(next.what, identity, next.trouble ?? trouble, at));
    if (next.trouble !== undefined) troubles[identity] = next.trouble;
  }
  let room = MAX_TROUBLES - Object.keys(troubles).length;
  for (const [identity, finding] of seen) {
    if (troubles[identity] !== undefined || state.troubles[identity] !== undefined) continue;
    if (room-- <= 0) {
      dropped++;
      continue;
    }
    const fresh: Trouble = {
      ...wordsOf(finding),
      state: 'pending',
      count: 0,
      firstSeen: at,
      toldAt: 0,
      told: finding.severity,
      changes: [],
      flapping: false,
    };
    const next = stillThere(fresh, finding, at, settings);
    if (next.what !== undefined) notices.push(noticeOf(next.what, identity, next.trouble, at));
    troubles[identity] = next.trouble;
  }
  return post({ ...state, troubles, dropped }, notices, survey, channels);
}

function wordsOf({ kind, severity: how, namespace, service, object, message, advice, since }: Finding) {
  const clip = (words: string) => words.slice(0, 500);
  return {
    kind,
    severity: how,
    namespace,
    service,
    object: clip(object),
    message: clip(message),
    advice: clip(advice),
    since,
  };
}

type What = Notice['what'];

function stillThere(
  before: Trouble,
  finding: Finding,
  at: number,
  settings: AlertSettings,
): { trouble: Trouble; what: What | undefined } {
  const trouble: Trouble = { ...before, ...wordsOf(finding), since: finding.since || before.since };
  if (before.state === 'pending') {
    const count = before.count + 1;
    const enough = finding.severity === 'critical' || count >= settings.after;
    if (!enough) return { trouble: { ...trouble, count }, what: undefined };
    return changed({ ...trouble, state: 'firing', count: 0 }, 'firing', at, settings);
  }
  // Seen again before it was taken for gone: nobody was told of that, so nothing happened.
  const firing: Trouble = {
    ...trouble,
    state: 'firing',
    count: 0,
    flapping: before.flapping && recent(before.changes, at).length > 0,
  };
  if (rankOf(finding.severity) > rankOf(before.told)) {
    return { trouble: { ...firing, told: finding.severity, toldAt: at }, what: 'worse' };
  }
  if (at - before.toldAt >= settings.repeat)
    return { trouble: { ...firing, told: finding.severity, toldAt: at }, what: 'reminder' };
  return { trouble: firing, what: undefined };
}

function gone(
  before: Trouble,
  at: number,
  settings: AlertSettings,
): { trouble: Trouble | undefined; what: What | undefined } {
  if (before.state === 'pending') {
    // Remembered only while its changes could make it flap.
    return recent(before.changes, at).length > 0
      ? { trouble: { ...before, count: 0, changes: recent(before.changes, at) }, what: undefined }
      : { trouble: undefined, what: undefined };
  }
  const count = before.state === 'clearing' ? before.count + 1 : 1;
  if (count < settings.resolveAfter)
    return { trouble: { ...before, state: 'clearing', count }, what: undefined };
  return changed({ ...before, state: 'pending', count: 0 }, 'resolved', at, settings);
}

function recent(changes: readonly number[], at: number): number[] {
  return changes.filter((change) => at - change < HOUR);
}

/** Firing or resolved. From the fourth change within an hour on one note says so, and then there is silence. */
function changed(
  trouble: Trouble,
  what: 'firing' | 'resolved',
  at: number,
  { flapping: most }: AlertSettings,
): { trouble: Trouble; what: What | undefined } {
  const changes = [...recent(trouble.changes, at), at].slice(-most);
  const flaps = changes.length >= most;
  const told = { ...trouble, changes, flapping: flaps };
  if (!flaps) return { trouble: { ...told, told: trouble.severity, toldAt: at }, what };
  return trouble.flapping
    ? { trouble: told, what: undefined }
    : { trouble: { ...told, told: trouble.severity, toldAt: at }, what: 'flapping' };
}

function noticeOf(
  what: What,
  identity: string,
  { kind, severity: how, namespace, service, object, message, advice, since, firstSeen }: Trouble,
  at: number,
): Notice {
  return {
    what,
    identity: identity.slice(0, 4_096),
    kind,
    severity: how,
    namespace,
    service,
    object,
    message,
    advice,
    since: since || firstSeen,
    at,
  };
}

/** One message per run and channel; one that waits and was never tried takes the new notices along. */
function post(
  state: AlertState,
  notices: readonly Notice[],
  { cluster, at }: Observation,
  channels: readonly Channel[],
): AlertState {
  const sent = { slack: recent(state.sent.slack, at), email: recent(state.sent.email, at) };
  if (notices.length === 0) return { ...state, sent };
  const outbox = [...state.outbox];
  let { serial } = state;
  for (const channel of channels) {
    // What was tried may have arrived without our learning of it, so its content is never changed.
    const waiting = outbox.filter(
      (one) => one.channel === channel && one.cluster === cluster && one.attempts === 0,
    );
    const all = newest([...waiting.flatMap((one) => one.notices), ...notices]);
    for (const one of waiting) outbox.splice(outbox.indexOf(one), 1);
    for (let from = 0; from < all.length; from += MAX_NOTICES) {
      const id = `${at.toString(36)}-${(serial++).toString(36)}`;
      outbox.push({
        id,
        channel,
        cluster,
        at,
        notices: all.slice(from, from + MAX_NOTICES),
        attempts: 0,
        notBefore: 0,
        lastError: '',
      });
    }
  }
  const over = Math.max(0, outbox.length - MAX_OUTBOX);
  return { ...state, outbox: outbox.slice(over), sent, serial, dropped: state.dropped + over };
}

/**
 * Untold notices about one trouble in few: what it came to since people heard of it last. That it began and ended
 * untold is two; that it ended and began again is one, for to those who read it never ended.
 */
function newest(notices: readonly Notice[]): Notice[] {
  const kept = new Map<string, Notice[]>();
  for (const notice of notices) {
    const before = kept.get(notice.identity) ?? [];
    kept.delete(notice.identity);
    kept.set(notice.identity, merge(before, notice));
  }
  return [...kept.values()].flat();
}

function merge(before: readonly Notice[], notice: Notice): Notice[] {
  const [first] = before;
  if (first === undefined) return [notice];
  if (notice.what === 'resolved') return first.what === 'firing' ? [first, notice] : [notice];
  if (notice.what === 'flapping') return [notice];
  if (first.what === 'firing') return [{ ...notice, what: 'firing' }];
  if (first.what === 'resolved') return [{ ...notice, what: 'reminder' }];
  return [first.what === 'worse' ? { ...notice, what: 'worse' } : notice];
}

export type { Delivery };

const FIRST_PAUSE = 5_000;
const LONGEST_PAUSE = 15 * 60_000;

/** What is to be sent now, oldest first, at most what the hour allows. */
export function dueMessages(
  { outbox, sent }: AlertState,
  settings: Pick<AlertSettings, 'perHour'>,
  at: number,
): Message[] {
  const left = {
    slack: settings.perHour - recent(sent.slack, at).length,
    email: settings.perHour - recent(sent.email, at).length,
  };
  const blocked = new Set<Channel>();
  const due: Message[] = [];
  for (const message of outbox) {
    const { channel } = message;
    // A channel that waits keeps its order.
    if (blocked.has(channel)) continue;
    if (message.notBefore > at || left[channel] <= 0) blocked.add(channel);
    else {
      left[channel]--;
      due.push(message);
    }
  }
  return due;
}

/** Before a try: it is remembered first, so that a crash in the middle is known for one. */
export function attempted(state: AlertState, id: string): AlertState {
  return {
    ...state,
    outbox: state.outbox.map((message) =>
      message.id === id ? { ...message, attempts: message.attempts + 1 } : message,
    ),
  };
}

export function delivered(state: AlertState, id: string, delivery: Delivery, at: number): AlertState {
  const message = state.outbox.find((one) => one.id === id);
  if (message === undefined) return state;
  if (delivery.result === 'sent') {
    return {
      ...state,
      outbox: state.outbox.filter((one) => one.id !== id),
      sent: { ...state.sent, [message.channel]: [...recent(state.sent[message.channel], at), at] },
    };
  }
  const backoff =
    delivery.result === 'refused'
      ? LONGEST_PAUSE
      : Math.min(FIRST_PAUSE * 2 ** Math.min(message.attempts - 1, 12), LONGEST_PAUSE);
  const pause = Math.max(backoff, (delivery.result === 'later' ? delivery.retryAfterMs : undefined) ?? 0);
  return {
    ...state,
    outbox: state.outbox.map((one) =>
      one.id === id ? { ...one, notBefore: at + pause, lastError: delivery.error.slice(0, 500) } : one,
    ),
  };
}

/** Of the troubles that are told of now. */
export function worstFiring({ troubles }: AlertState): Severity | undefined {
  let worst: Severity | undefined;
  for (const { state, severity: how } of Object.values(troubles)) {
    if (state !== 'pending' && (worst === undefined || rankOf(how) > rankOf(worst))) worst = how;
  }
  return worst;
}
