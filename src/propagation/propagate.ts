/**
 * The decision in the fields of a request: what came in is believed or taken out, and what was decided here is put in.
 * Services behind then agree on a user's bucket, also where they are not told who the user is. Pure.
 */
import type { Config } from '../config/schema.ts';

/** The field that has members of others too, which go on (W3C Baggage, 3.2). */
export const BAGGAGE = 'baggage';
const ROUTE_KEY = 'pointsman.route';
const BUCKET_KEY = 'pointsman.bucket';

/** What every platform must be able to pass on (W3C Baggage, 3.3.2); others' members beyond it are dropped. */
const MAX_MEMBERS = 64;
const MAX_BYTES = 8_192;

const MAX_BUCKET = 9_999;

export interface Propagation {
  readonly routeField: string;
  readonly bucketField: string;
  readonly baggage: boolean;
  /** In lower case. */
  readonly lowerBucket: string;
}

/** Undefined when nothing is propagated: then such fields are fields like any other. */
export function compilePropagation(config: Config['propagate']): Propagation | undefined {
  if (config === undefined) return undefined;
  const { route, bucket, baggage } = config;
  return {
    routeField: route,
    bucketField: bucket,
    baggage,
    lowerBucket: bucket.toLowerCase(),
  };
}

/**
 * The bucket that a trusted peer has found for the user of a request; -1 when there is none, or several that differ.
 * Call it for trusted peers alone.
 *
 * @param rawHeaders names and values in turn
 */
export function givenBucket(propagation: Propagation, rawHeaders: readonly string[]): number {
  let found = -1;
  let fromBaggage = -1;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (isNamed(name, propagation.lowerBucket)) {
      const bucket = bucketIn(rawHeaders[i + 1]!.trim());
      if (bucket === -1 || (found !== -1 && found !== bucket)) return -1;
      found = bucket;
    } else if (propagation.baggage && isNamed(name, BAGGAGE)) {
      for (const member of rawHeaders[i + 1]!.split(',', 4 * MAX_MEMBERS)) {
        if (keyOf(member) !== BUCKET_KEY) continue;
        fromBaggage = bucketIn(memberValue(member));
      }
    }
  }
  return found === -1 ? fromBaggage : found;
}

/** 0–9999 as it is written here, without signs, blanks or leading zeros; else -1. */
function bucketIn(text: string): number {
  if (text.length === 0 || text.length > 4 || (text.length > 1 && text[0] === '0')) return -1;
  let bucket = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    bucket = bucket * 10 + digit;
  }
  return bucket > MAX_BUCKET ? -1 : bucket;
}

/**
 * What a request gets on its way to the upstream. The fields of these names that came in were taken out when it was
 * read, whoever sent them: a trusted peer's bucket is in the decision already.
 *
 * @param received the list of `baggage` that came in; undefined when there was none, or none is used
 * @param bucket   -1: the request has none
 * @returns names and values in turn
 */
export function propagatedFields(
  { routeField, bucketField, baggage }: Propagation,
  received: string | undefined,
  route: string,
  bucket: number,
): string[] {
  const fields = [routeField, route];
  if (bucket !== -1) fields.push(bucketField, String(bucket));
  if (baggage) fields.push(BAGGAGE, baggageWith(received, route, bucket));
  return fields;
}

/** Ours first, so that a long list of others cannot push them out. */
function baggageWith(received: string | undefined, route: string, bucket: number): string {
  let list = bucket === -1 ? `${ROUTE_KEY}=${route}` : `${ROUTE_KEY}=${route},${BUCKET_KEY}=${bucket}`;
  if (received === undefined) return list;
  let members = bucket === -1 ? 1 : 2;
  for (const one of received.split(',', 4 * MAX_MEMBERS)) {
    const member = one.trim();
    const key = keyOf(member);
    if (member === '' || key === ROUTE_KEY || key === BUCKET_KEY) continue;
    if (members >= MAX_MEMBERS) break;
    if (list.length + 1 + member.length > MAX_BYTES) continue;
    list += `,${member}`;
    members++;
  }
  return list;
}

function keyOf(member: string): string {
  const end = member.indexOf('=');
  return (end === -1 ? member : member.slice(0, end)).trim();
}

/** Without properties. */
function memberValue(member: string): string {
  const value = member.slice(member.indexOf('=') + 1);
  const end = value.indexOf(';');
  return (end === -1 ? value : value.slice(0, end)).trim();
}

/** Most fields are of another length, and then no copy of the name is made. */
function isNamed(name: string, lower: string): boolean {
  return name.length === lower.length && (name === lower || name.toLowerCase() === lower);
}
