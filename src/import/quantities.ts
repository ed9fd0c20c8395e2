/** HAProxy's times and sizes → those of a configuration. */
import { formatDuration } from '../config/units.ts';

const UNITS: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * @param unit of a number without one
 * @returns milliseconds, rounded up; undefined when it is no time
 */
export function parseTime(text: string, unit = 'ms'): number | undefined {
  const match = /^(\d{1,12})(us|ms|s|m|h|d)?$/.exec(text);
  return match === null ? undefined : Math.ceil(Number(match[1]) * UNITS[match[2] ?? unit]!);
}

/** As it is written in a configuration, in the largest unit that is exact. */
export function writeDuration(ms: number): string {
  return formatDuration(ms);
}

export function parseCount(text: string): number | undefined {
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** In bytes. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d{1,9})([kmg])?$/.exec(text);
  return match === null ? undefined : Number(match[1]) * 1024 ** ' kmg'.indexOf(match[2] ?? ' ');
}
