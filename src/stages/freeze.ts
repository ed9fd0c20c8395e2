/** Windows in which nothing may move on, weekly or once, in a zone of their own. Pure. */

import { z } from 'zod';

const MOMENT =
  /^(?:(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([01]\d|2[0-3]):([0-5]\d)|(\d{4})-(\d{2})-(\d{2})(?:T([01]\d|2[0-3]):([0-5]\d))?)$/;
const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
const WEEK = 7 * 24 * 60;

const moment = z
  .string()
  .regex(MOMENT, 'is not a time; write Fri 16:00 for every week, or 2026-12-20 or 2026-12-20T18:00 for once');

export const freezeWindow = z.strictObject({
  from: moment.describe('Beginning, inclusive: `Fri 16:00` or `2026-12-20T00:00`.'),
  to: moment.describe('End, exclusive.'),
  timezone: z.string().max(64).default('UTC').describe('Zone of both times, such as Europe/Vienna.'),
  stages: z
    .array(z.string().max(64))
    .max(20)
    .default([])
    .describe('Stages that nothing may enter; empty: all.'),
  reason: z.string().max(256).optional().describe('Shown to who is refused.'),
});

export type FreezeWindow = z.output<typeof freezeWindow>;

/** What is wrong with a window beyond its form. */
export function windowFault({ from, to, timezone }: FreezeWindow): string | undefined {
  if (/^\d/.test(from) !== /^\d/.test(to)) return 'mixes a weekday and a date; write both times in one form';
  if (/^\d/.test(from)) {
    for (const text of [from, to]) {
      const [year, month, day] = text.slice(0, 10).split('-').map(Number);
      const date = new Date(Date.UTC(year!, month! - 1, day!));
      if (date.getUTCMonth() !== month! - 1 || date.getUTCDate() !== day!)
        return `${text} is no date of the calendar`;
    }
    if (padded(from) >= padded(to)) return 'ends before it begins';
  } else if (from === to) return 'is empty: both times are the same';
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: timezone });
  } catch {
    return `there is no time zone "${timezone}"; write it as Europe/Vienna or UTC`;
  }
  return undefined;
}

export interface Freezes {
  readonly deny: readonly FreezeWindow[];
  readonly allow: readonly FreezeWindow[];
}

/** Why nothing may enter `stage` at `now` (epoch milliseconds); undefined when it may. Deny wins over allow. */
export function frozen(freezes: Freezes, stage: string, now: number): string | undefined {
  const about = (window: FreezeWindow) => window.stages.length === 0 || window.stages.includes(stage);
  const denied = freezes.deny.find((window) => about(window) && contains(window, now));
  if (denied !== undefined) {
    const why = denied.reason === undefined ? '' : `: ${denied.reason}`;
    return `frozen from ${denied.from} to ${denied.to} (${denied.timezone})${why}`;
  }
  const allowed = freezes.allow.filter(about);
  if (allowed.length === 0 || allowed.some((window) => contains(window, now))) return undefined;
  return `outside of the times when changes are allowed (${allowed.map(({ from, to, timezone }) => `${from} to ${to} ${timezone}`).join('; ')})`;
}

function contains({ from, to, timezone }: FreezeWindow, now: number): boolean {
  const local = localTime(now, timezone);
  if (/^\d/.test(from)) return padded(from) <= local.text && local.text < padded(to);
  const begin = minuteOfWeek(from);
  const end = minuteOfWeek(to);
  return begin < end
    ? begin <= local.minute && local.minute < end
    : local.minute >= begin || local.minute < end;
}

function padded(text: string): string {
  return text.includes('T') ? text : `${text}T00:00`;
}

function minuteOfWeek(text: string): number {
  const [day, time] = text.split(' ') as [string, string];
  return (DAYS.indexOf(day) * 24 * 60 + Number(time.slice(0, 2)) * 60 + Number(time.slice(3))) % WEEK;
}

/** What a clock on a wall in that zone shows: `2026-12-20T18:00`, and the minute of the week from Monday 00:00. */
function localTime(now: number, timeZone: string): { text: string; minute: number } {
  const parts = Object.fromEntries(
    new Intl.DateTimeFormat('en-US', {
      timeZone,
      weekday: 'short',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    })
      .formatToParts(now)
      .map(({ type, value }) => [type, value]),
  ) as Record<string, string>;
  return {
    text: `${parts['year']}-${parts['month']}-${parts['day']}T${parts['hour']}:${parts['minute']}`,
    minute: minuteOfWeek(`${parts['weekday']} ${parts['hour']}:${parts['minute']}`),
  };
}
