/** Durations and sizes as people write them in the configuration, parsed to plain numbers. */

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const SIZE_UNITS: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** Longest duration accepted, in milliseconds: what a Node timer can hold (2^31 - 1 ms, about 24.8 days) does
 * not bound pins, so the limit is ten years and timers clamp where they are set. */
const MAX_DURATION_MS = 3650 * 86_400_000;

const DURATION_PATTERN = /^(\d{1,12}(?:\.\d{1,3})?)(ms|s|m|h|d)$/;
const SIZE_PATTERN = /^(\d{1,12})(B|KiB|MiB|GiB)$/;

/** The pattern of a duration, for the JSON Schema. */
export const DURATION_REGEX_SOURCE = DURATION_PATTERN.source;
/** The pattern of a size, for the JSON Schema. */
export const SIZE_REGEX_SOURCE = SIZE_PATTERN.source;

/** `250ms`, `2s`, `1.5s`, `5m`, `12h`, `30d` → milliseconds; undefined when `text` is not a duration. */
export function parseDuration(text: string): number | undefined {
  const match = DURATION_PATTERN.exec(text);
  if (match === null) return undefined;
  const ms = Math.round(Number(match[1]) * DURATION_UNITS[match[2]!]!);
  return ms <= MAX_DURATION_MS ? ms : undefined;
}

/** `512B`, `16KiB`, `1MiB`, `2GiB` → bytes; undefined when `text` is not a size. */
export function parseSize(text: string): number | undefined {
  const match = SIZE_PATTERN.exec(text);
  if (match === null) return undefined;
  const bytes = Number(match[1]) * SIZE_UNITS[match[2]!]!;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Milliseconds → the shortest exact spelling, such as `2s` or `1500ms`. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's']) {
    const size = DURATION_UNITS[unit]!;
    if (ms !== 0 && ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

/** Bytes → the shortest exact spelling, such as `16KiB` or `1500B`. */
export function formatSize(bytes: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB']) {
    const size = SIZE_UNITS[unit]!;
    if (bytes !== 0 && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return `${bytes}B`;
}
