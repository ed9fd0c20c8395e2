/** Kinds of values that several sections of the configuration share. */

import { isIP } from 'node:net';
import { z } from 'zod';
import { ADDRESS_REGEX_SOURCE, parseAddress } from '../address.ts';
import {
  DURATION_REGEX_SOURCE,
  formatDuration,
  formatSize,
  parseDuration,
  parseSize,
  SIZE_REGEX_SOURCE,
} from '../units.ts';

const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/**
 * Marks a value that is never shown, in whatever goes wrong with it: no message, log, metric, status or dump has it.
 * `writeOnly` is the word of JSON Schema for that; `secrets.ts` goes by it.
 */
export function secret<T extends z.ZodType>(schema: T): T {
  return schema.meta({ writeOnly: true }) as T;
}

export const duration = (options: { min?: number; max?: number } = {}) => {
  const { min = 1, max = Number.POSITIVE_INFINITY } = options;
  return quantity(
    parseDuration,
    { pattern: DURATION_REGEX_SOURCE },
    'is not a duration; write a number and a unit: 250ms, 2s, 5m, 12h or 30d',
    range(min, max, formatDuration),
  );
};

export const size = (options: { min?: number; max?: number } = {}) => {
  const { min = 0, max = Number.POSITIVE_INFINITY } = options;
  return quantity(
    parseSize,
    { pattern: SIZE_REGEX_SOURCE },
    'is not a size; write a whole number and a unit: 512B, 16KiB, 1MiB or 1GiB',
    range(min, max, formatSize),
  );
};

interface Range {
  readonly min: number;
  readonly max: number;
  readonly message: string;
}

function range(min: number, max: number, format: (value: number) => string): Range {
  const bounds =
    max === Number.POSITIVE_INFINITY ? `at least ${format(min)}` : `${format(min)} to ${format(max)}`;
  return { min, max, message: `is out of range; it must be ${bounds}` };
}

function quantity(
  parse: (text: string) => number | undefined,
  meta: { pattern: string },
  malformed: string,
  { min, max, message }: Range,
) {
  return z
    .string()
    .meta(meta)
    .transform((text, context) => {
      const value = parse(text);
      if (value !== undefined && value >= min && value <= max) return value;
      context.issues.push({
        code: 'custom',
        input: text,
        message: value === undefined ? malformed : message,
      });
      return z.NEVER;
    });
}

export const fieldName = z
  .string()
  .regex(FIELD_NAME, 'is not a valid HTTP field name (letters, digits and hyphens, at most 128 characters)');

export const name = z
  .string()
  .regex(
    NAME,
    'is not a valid name: letters, digits, ".", "_" and "-", at most 63, starting with a letter or digit',
  );

/** `host:port`, `[v6]:port` or `:port` → `{ host, port }`; port 0 asks the kernel for a free one. */
export const address = z
  .string()
  .meta({ pattern: ADDRESS_REGEX_SOURCE })
  .transform((text, context) => {
    const parsed = parseAddress(text);
    if (parsed !== undefined) return parsed;
    context.issues.push({
      code: 'custom',
      input: text,
      message: 'is not an address to listen on; write IP:PORT, such as 0.0.0.0:8080 or [::]:8080',
    });
    return z.NEVER;
  });

export const cidr = z.string().refine((text) => {
  const match = /^([0-9A-Fa-f:.]+)(?:\/(\d{1,3}))?$/.exec(text);
  if (match === null) return false;
  const family = isIP(match[1]!);
  return family !== 0 && (match[2] === undefined || Number(match[2]) <= (family === 4 ? 32 : 128));
}, 'is not an address range; write it as 10.0.0.0/8, 192.168.1.7 or fd00::/8');

export const oneOrMany = <T extends z.ZodType>(item: T) => z.union([item, z.array(item).min(1).max(256)]);

export const weight = z.int().min(0, 'must not be negative').max(1_000_000);

/** A DNS server to ask. */
export const nameserver = z
  .string()
  .regex(/^(\[[0-9A-Fa-f:.]+\](:\d{1,5})?|[0-9.]+(:\d{1,5})?|[0-9A-Fa-f:]+)$/, 'is not IP or IP:PORT')
  .refine(isNameserver, 'is not IP or IP:PORT');

/** IP, IPv4:PORT or [IPv6]:PORT, judged beyond what the pattern of the JSON Schema can say. */
function isNameserver(text: string): boolean {
  const match = /^(?:\[([^\]]+)\]|([0-9.]+))(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return isIP(text) === 6;
  const port = Number(match[3] ?? 53);
  return (
    (match[1] === undefined ? isIP(match[2]!) === 4 : isIP(match[1]) === 6) && port >= 1 && port <= 65_535
  );
}
