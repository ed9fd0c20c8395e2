/** How a pin lies in Redis: one key a user, one short text each. Shared by the proxy and `pointsman pins`. */
import { createHmac } from 'node:crypto';
import type { RedisConfig } from '../config/schema.ts';

/** Marks a value as a pin of this format; whatever else lies under our key is somebody else's and left alone. */
const VALUE = /^p1:([A-Za-z0-9][A-Za-z0-9._-]{0,62})$/;

export function pinValue(backend: string): string {
  return `p1:${backend}`;
}

/** Name of the backend; undefined when the value is no pin. */
export function backendOfValue(value: string): string | undefined {
  return VALUE.exec(value)?.[1];
}

/** `PREFIX SERVICE:pin:PIN:` — of every generation. */
export function pinPrefix(keyPrefix: string, service: string, pin: string): string {
  return `${keyPrefix}${service}:pin:${pin}:`;
}

const HASH_LENGTH = 24;
const KEY_REST = /^([0-9]{1,10}):([A-Za-z0-9_-]{24})$/;

/** Takes apart what stands behind the prefix of a pin; undefined when it is no key of ours. */
export function parseKey(prefix: string, key: string): { generation: number; hash: string } | undefined {
  if (!key.startsWith(prefix)) return undefined;
  const match = KEY_REST.exec(key.slice(prefix.length));
  return match === null ? undefined : { generation: Number(match[1]), hash: match[2]! };
}

/** Keys of one pin. The user goes in as a keyed hash, so that neither a dump of Redis nor its slow log shows ids. */
export class PinKeys {
  readonly #prefix: string;
  readonly #secret: string;

  constructor(redis: RedisConfig, service: string, pin: string, generation: number) {
    const prefix = pinPrefix(redis.keyPrefix, service, pin);
    this.#prefix = `${prefix}${generation}:`;
    // The generation is left out: what stands for a user in an export stays comparable.
    this.#secret = `${redis.keySecret ?? ''}\0${service}\0${pin}`;
  }

  of(user: string): string {
    const hash = createHmac('sha256', this.#secret).update(user, 'latin1').digest('base64url');
    return this.#prefix + hash.slice(0, HASH_LENGTH);
  }
}
