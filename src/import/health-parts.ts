/** Checks of all backends, as `health` and what single ones differ in. */
import type { BuiltBackend } from './backends.ts';
import type { HealthInput } from './checks.ts';

/** What all checked backends have in common goes to `health`, the rest to each. */
export function healthParts(built: readonly (readonly [string, BuiltBackend])[]): {
  common: HealthInput;
  own: ReadonlyMap<string, HealthInput>;
} {
  const checked = built.filter(([, { health }]) => health.enabled !== false);
  const own = new Map<string, HealthInput>();
  const [first, ...rest] = checked;
  if (first === undefined) return { common: { enabled: false }, own };
  const common = Object.fromEntries(
    Object.entries(first[1].health).filter(([key, value]) =>
      rest.every(
        ([, { health }]) => JSON.stringify(health[key as keyof HealthInput]) === JSON.stringify(value),
      ),
    ),
  );
  for (const [name, { health }] of built) {
    const different =
      health.enabled === false
        ? health
        : Object.fromEntries(Object.entries(health).filter(([key]) => !Object.hasOwn(common, key)));
    if (Object.keys(different).length > 0) own.set(name, different);
  }
  return { common, own };
}
