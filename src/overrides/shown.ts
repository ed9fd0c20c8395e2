/** An override as people and programs are shown it. */
import { describeTarget, type Override } from './override.ts';

/** Times are ISO 8601 in UTC. */
export function shownOverride(override: Override) {
  return {
    id: override.id,
    target: override.target,
    text: describeTarget(override.target),
    reason: override.reason,
    by: override.by,
    createdAt: new Date(override.createdAt).toISOString(),
    until: new Date(override.until).toISOString(),
  };
}
