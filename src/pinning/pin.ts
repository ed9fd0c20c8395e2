/** A compiled pin: where Pointsman looks for the user id, and the salt of its hash. */
import type { Config, PinConfig } from '../config/schema.ts';
import type { ReleaseSet } from '../config/sets.ts';
import { BearerClaim } from './bearer-claim.ts';
import { CookieIssuer } from './issued-cookie.ts';

export interface Pin {
  readonly name: string;
  readonly config: PinConfig;
  /** Of the hash: a new generation hashes every user anew. */
  readonly salt: string;
  /** Where the user's id is looked for, in order. */
  readonly sources: readonly PinSource[];
  /** Undefined: a request that names no user stays without one. */
  readonly cookie: CookieIssuer | undefined;
}

/** Names of fields in lower case. */
export type PinSource =
  | { readonly kind: 'header'; readonly name: string }
  | { readonly kind: 'cookie'; readonly name: string }
  | { readonly kind: 'bearerClaim'; readonly claim: BearerClaim }
  | { readonly kind: 'clientAddress'; readonly trustedHops: number };

/** @param set that the row takes part in: its salt, since the same users must meet all members */
export function compilePin(name: string, config: Config, set: ReleaseSet | undefined): Pin {
  const pin = config.pins[name];
  if (pin === undefined) throw new Error(`there is no pin "${name}"`);
  const salt = set === undefined ? (pin.salt ?? config.service) : `set:${set.name}`;
  return {
    name,
    config: pin,
    salt: pin.generation === 1 ? salt : `${salt}\0${pin.generation}`,
    sources: pin.by.map(compileSource),
    cookie: pin.issueCookie === undefined ? undefined : compileCookie(pin.issueCookie, config.service),
  };
}

function compileSource(source: PinConfig['by'][number]): PinSource {
  if ('header' in source) return { kind: 'header', name: source.header.toLowerCase() };
  if ('cookie' in source) return { kind: 'cookie', name: source.cookie };
  if ('bearerClaim' in source) return { kind: 'bearerClaim', claim: new BearerClaim(source.bearerClaim) };
  return { kind: 'clientAddress', trustedHops: source.clientAddress.trustedHops };
}

function compileCookie(cookie: NonNullable<PinConfig['issueCookie']>, service: string): CookieIssuer {
  const { name = `pointsman-${service}`, ttl, sameSite, secure, path, domain, keys } = cookie;
  return new CookieIssuer({ name, ttl, sameSite, secure, path, domain, keys }, service);
}
