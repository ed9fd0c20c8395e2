/** The decision for a route with a pin: who the user is; and the store is asked, and told. */
import { identifyUser } from '../pinning/identity.ts';
import type { Pin } from '../pinning/pin.ts';
import { givenBucket } from '../propagation/propagate.ts';
import { type Decision, decide } from '../routing/decide.ts';
import type { Peer } from './peer.ts';
import type { ForwardPolicy } from './policy.ts';
import type { LiveRoute } from './snapshot.ts';

export interface RequestUser {
  /** Undefined when the request names none. */
  readonly user: string | undefined;
  /** The id was drawn for this request. */
  readonly fresh: boolean;
  /** Goes into the response: the cookie that its user will be known by. */
  readonly setCookie: string | undefined;
}

const NOBODY: RequestUser = { user: undefined, fresh: false, setCookie: undefined };

/** Who sent a request: named by one of the pin's sources, else by the cookie that the pin issues. */
export function userOf(pin: Pin, rawHeaders: readonly string[], { address, trusted }: Peer): RequestUser {
  const user = identifyUser(pin, rawHeaders, address, trusted);
  if (user !== undefined) return { user, fresh: false, setCookie: undefined };
  return pin.cookie === undefined ? NOBODY : pin.cookie.identify(rawHeaders);
}

/** The bucket that a trusted peer has found for the user; -1: none, or nobody is asked. */
export function bucketGiven(
  { propagation }: ForwardPolicy,
  rawHeaders: readonly string[],
  { trusted }: Peer,
): number {
  return propagation === undefined || !trusted ? -1 : givenBucket(propagation, rawHeaders);
}

/**
 * @param user  undefined when the request names none: then the weights decide
 * @param fresh the id was drawn for this request. The hash decides, and the store is told when the client comes back
 *              with it: clients that keep no cookies would fill it with users that never return
 * @param given bucket that a trusted peer has found for the user; -1: none
 * @param done  called exactly once, at once or within the deadline of the store
 */
export function decidePinned(
  live: LiveRoute,
  user: string | undefined,
  fresh: boolean,
  given: number,
  done: (decision: Decision) => void,
): void {
  const { route, usable, rotation, pinStore } = live;
  const cells = live.pinCells!;
  if (user === undefined) {
    cells.anonymous.value++;
    done(decide(route, undefined, undefined, usable, rotation, given));
    return;
  }
  // A bucket that is given counts instead of whatever is remembered here: all services are to agree.
  if (given !== -1) {
    cells.hash.value++;
    done(decide(route, user, undefined, usable, rotation, given));
    return;
  }
  const remembered = pinStore?.recall(user);
  const decision = decide(route, user, remembered, usable, rotation);
  if (fresh) cells.issued.value++;
  else (decision.source === 'pin' ? cells.remembered : cells.hash).value++;
  if (pinStore === undefined || fresh || decision.source === 'pin' || decision.wanted === -1) {
    done(decision);
    return;
  }
  const own = route.split.names[decision.wanted]!;
  if (remembered !== undefined) {
    // What was remembered is gone from the split, or has no weight any more.
    if (!route.held) pinStore.rewrite(user, own);
    done(decision);
    return;
  }
  const found = (winner: string) => {
    if (winner === own) {
      done(decision);
      return;
    }
    // Another replica was first. Its answer counts, unless the split no longer has that backend.
    const theirs = decide(route, user, winner, usable, rotation);
    if (theirs.source !== 'pin' && !route.held) pinStore.rewrite(user, own);
    done(theirs);
  };
  // A brake is over some time, and then users are to be where they were.
  if (route.held) pinStore.find(user, own, found);
  else pinStore.claim(user, own, found);
}

/** Whether the request must not be served by another backend than its user's. */
export function mustStay(live: LiveRoute, user: string | undefined): boolean {
  return user !== undefined && live.route.pin?.config.onUnavailable === 'fail';
}

/** Why a decision cannot be carried out; undefined when it can. */
export function refusalOf(
  live: LiveRoute,
  user: string | undefined,
  { index, wanted }: Decision,
): 'no_endpoint' | 'pinned_backend_down' | undefined {
  if (index === wanted && index !== -1) return undefined;
  if (wanted !== -1 && mustStay(live, user)) return 'pinned_backend_down';
  return index === -1 ? 'no_endpoint' : undefined;
}
