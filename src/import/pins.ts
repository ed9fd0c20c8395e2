/** The pins of imported backends and their names. */
import type { ConfigInput } from '../config/schema.ts';
import { freeName } from './names.ts';
import type { BackendPlan } from './routes.ts';

export function pinsOf(plans: ReadonlyMap<string, BackendPlan>): {
  names: ReadonlyMap<string, string>;
  inputs: ReadonlyMap<string, NonNullable<BackendPlan['persistence']['pin']>>;
} {
  const names = new Map<string, string>();
  const inputs = new Map<string, NonNullable<BackendPlan['persistence']['pin']>>();
  for (const [backend, { persistence }] of plans) {
    if (persistence.pin === undefined) continue;
    const name = freeName(backend, (other) => inputs.has(other));
    names.set(backend, name);
    inputs.set(name, persistence.pin);
  }
  return { names, inputs };
}

/** Those that routes use. */
export function definedPins(
  inputs: ReadonlyMap<string, NonNullable<BackendPlan['persistence']['pin']>>,
  used: ReadonlySet<string | undefined>,
): Pick<ConfigInput, 'pins'> {
  const pins = [...inputs].filter(([name]) => used.has(name));
  return pins.length === 0 ? {} : { pins: Object.fromEntries(pins) };
}
