/** The decision for a route with a pin: the store is asked, and told. */
import { type Decision, decide } from '../routing/decide.ts';
import type { LiveRoute } from './forwarder.ts';

/**
 * @param user undefined when the request names none: then the weights decide
 * @param done called exactly once, at once or within the deadline of the store
 */
export function decidePinned(
  live: LiveRoute,
  user: string | undefined,
  done: (decision: Decision) => void,
): void {
  const { route, usable, rotation, pinStore } = live;
  const cells = live.pinCells!;
  if (user === undefined) {
    cells.anonymous.value++;
    done(decide(route, undefined, undefined, usable, rotation));
    return;
  }
  const remembered = pinStore?.recall(user);
  const decision = decide(route, user, remembered, usable, rotation);
  (decision.source === 'pin' ? cells.remembered : cells.hash).value++;
  if (pinStore === undefined || decision.source === 'pin' || decision.wanted === -1) {
    done(decision);
    return;
  }
  const own = route.split.names[decision.wanted]!;
  if (remembered !== undefined) {
    // What was remembered is gone from the split, or has no weight any more.
    pinStore.rewrite(user, own);
    done(decision);
    return;
  }
  pinStore.claim(user, own, (winner) => {
    if (winner === own) {
      done(decision);
      return;
    }
    // Another replica was first. Its answer counts, unless the split no longer has that backend.
    const theirs = decide(route, user, winner, usable, rotation);
    if (theirs.source !== 'pin') pinStore.rewrite(user, own);
    done(theirs);
  });
}
