/** What becomes of every fault. `asks × stalls`: the client just asks, the upstream never answers. */

import type { FailureReason } from '../../../src/forward/reasons.ts';
import { FAILURES } from '../../../src/forward/reasons.ts';
import type { Ending, FaultCase, TimeoutKey } from './case.ts';
import type { ClientName } from './clients.ts';
import type { Subject } from './scenarios/scenario.ts';
import type { UpstreamName } from './upstreams.ts';

/** Nothing fails. */
const fine: Ending = {
  status: 200,
  reason: undefined,
  log: '--',
  sees: 'whole',
  keeps: true,
  retries: undefined,
};

/** The same, and the connection ends. */
const last: Ending = { ...fine, keeps: false };

/** Answered by the proxy, with the status of the reason. */
function refused(reason: FailureReason, more: Partial<Ending> = {}): Ending {
  const { status, termination: log } = FAILURES[reason];
  return { status, reason, log, sees: 'refusal', keeps: true, retries: undefined, ...more };
}

/** The response had begun. */
function cut(reason: FailureReason): Ending {
  return { ...refused(reason), status: 200, sees: 'cut', keeps: false };
}

/** The client is gone. */
function gone(log: Ending['log'], status?: number): Ending {
  return { ...refused('client_aborted', { log }), status, sees: 'nothing', keeps: false };
}

/** There was no request. */
const silent: Ending = { ...last, status: undefined, log: undefined, sees: 'end' };

function on(client: ClientName, upstream: UpstreamName, ends: Ending, timeout?: TimeoutKey): FaultCase {
  return { client, upstream, timeout, ends };
}

const UPSTREAM_FAULTS: readonly FaultCase[] = [
  on('asks', 'refuses', refused('connect_failed', { retries: 2 })),
  on('uploads', 'refuses', refused('connect_failed', { retries: 2 })),
  on('asks', 'refusesEverySecond', fine),
  on('uploads', 'refusesEverySecond', fine),
  on('asks', 'neverAccepts', refused('connect_timeout', { retries: 2 }), 'connect'),
  on('asks', 'resetsConnections', refused('upstream_reset', { retries: 2 })),
  on('asks', 'closesConnections', refused('upstream_reset', { retries: 2 })),
  on('asks', 'resetsEverySecond', fine),
  on('waitsBehindAnother', 'isBusy', refused('queue_timeout'), 'queue'),
  on('asks', 'resets', refused('upstream_reset', { retries: 2 })),
  on('asks', 'closes', refused('upstream_reset', { retries: 2 })),
  on('uploads', 'resets', refused('upstream_reset', { retries: 0 })),
  on('uploads', 'closes', refused('upstream_reset', { retries: 0 })),
  on('tricklesForEver', 'resetsInUpload', refused('upstream_reset', { keeps: false })),
  on('asks', 'stalls', refused('response_timeout', { retries: 0 }), 'responseHead'),
  on('uploads', 'stalls', refused('response_timeout', { retries: 0 }), 'responseHead'),
  on('asks', 'stallsInHead', refused('response_timeout'), 'responseHead'),
  on('asks', 'tricklesHead', refused('response_timeout'), 'responseHead'),
  on('asks', 'hints', refused('response_timeout'), 'responseHead'),
  on('asks', 'resetsInHead', refused('upstream_reset', { retries: 0 })),
  on('asks', 'closesInHead', refused('upstream_reset', { retries: 0 })),
  on('asks', 'stallsInBody', cut('idle_timeout'), 'idle'),
  on('asks', 'stallsInChunk', cut('idle_timeout'), 'idle'),
  on('asks', 'stallsUntilClose', cut('idle_timeout'), 'idle'),
  on('asks', 'closesInBody', cut('upstream_truncated')),
  on('asks', 'closesInChunk', cut('upstream_truncated')),
  on('asks', 'closesUntilClose', fine),
  on('asks', 'resetsInBody', cut('upstream_truncated')),
  on('asks', 'resetsInChunk', cut('upstream_truncated')),
  on('asks', 'resetsUntilClose', cut('upstream_truncated')),
  on('asksBy10', 'closesInChunk', cut('upstream_truncated')),
  on('asksBy10', 'resetsUntilClose', cut('upstream_truncated')),
  on('asksBy10', 'stallsInChunk', cut('idle_timeout'), 'idle'),
  on('asksBy10', 'closesUntilClose', last),
  on('asks', 'trickles', fine, 'idle'),
  on('asks', 'answersAndCloses', fine),
  on('asks', 'answersAndResets', fine),
  on('uploads', 'answersEarly', fine),
  on('tricklesForEver', 'answersEarly', last),
  on('tricklesForEver', 'answersEarlyAndCloses', last),
  on('stopsInBody', 'answersEarly', last, 'keepAlive'),
  on('uploadsLarge', 'readsNothing', refused('idle_timeout', { keeps: false }), 'idle'),
  on('uploadsLarge', 'readsSlowly', fine),
];

const CLIENT_FAULTS: readonly FaultCase[] = [
  on('saysNothing', 'answers', silent, 'requestHead'),
  on('stopsInHead', 'answers', refused('request_timeout', { keeps: false }), 'requestHead'),
  on('tricklesHead', 'answers', refused('request_timeout', { keeps: false }), 'requestHead'),
  on('stopsInSecondHead', 'answers', refused('request_timeout', { keeps: false }), 'requestHead'),
  on('tricklesSecondHead', 'answers', refused('request_timeout', { keeps: false }), 'requestHead'),
  on('staysIdle', 'answers', silent, 'keepAlive'),
  on('stopsInBody', 'answers', refused('client_timeout', { keeps: false }), 'idle'),
  on('stopsInChunk', 'answers', refused('client_timeout', { keeps: false }), 'idle'),
  on('awaitsContinue', 'answers', refused('client_timeout', { keeps: false }), 'idle'),
  on('trickles', 'answers', fine, 'idle'),
  on('tricklesForEver', 'answers', refused('client_timeout', { keeps: false }), 'requestBody'),
  on('stopsReading', 'answersLarge', cut('client_timeout'), 'idle'),
  on('readsSlowly', 'answersLarge', fine),
  on('pipelinesBlindly', 'answersLarge', cut('client_timeout'), 'idle'),
  on('leavesInHead', 'answers', { ...silent, sees: 'nothing' }),
  on('leavesWaiting', 'stalls', gone('CH')),
  on('resetsWaiting', 'stalls', gone('CH')),
  on('endsItsSide', 'stalls', gone('CH')),
  on('leavesInBody', 'answers', gone('CD')),
  on('resetsInBody', 'answers', gone('CD')),
  on('endsItsSideInBody', 'answers', gone('CD')),
  on('leavesInResponse', 'tricklesForEver', gone('CD', 200)),
  on('resetsInResponse', 'tricklesForEver', gone('CD', 200)),
  on('leavesInResponse', 'answersLarge', gone('CD', 200)),
  on('leavesConnecting', 'neverAccepts', gone('CC')),
  on('leavesBehindAnother', 'isBusy', gone('CQ')),
];

/** The end of a tunnel is not a failure. */
const over: Ending = { ...last, status: 101 };

const TUNNEL_FAULTS: readonly FaultCase[] = [
  on('upgrades', 'refuses', refused('connect_failed', { keeps: false })),
  on('upgrades', 'refusesEverySecond', last),
  on('upgrades', 'neverAccepts', refused('connect_timeout', { keeps: false }), 'connect'),
  on('upgrades', 'resetsConnections', refused('upstream_reset', { keeps: false, retries: 2 })),
  on('upgrades', 'resetsEverySecond', last),
  on('upgrades', 'resets', refused('upstream_reset', { keeps: false, retries: 2 })),
  on('upgrades', 'closes', refused('upstream_reset', { keeps: false, retries: 2 })),
  on('upgrades', 'stalls', refused('response_timeout', { keeps: false }), 'responseHead'),
  on('upgrades', 'stallsInHead', refused('response_timeout', { keeps: false }), 'responseHead'),
  on('upgrades', 'tricklesHead', refused('response_timeout', { keeps: false }), 'responseHead'),
  on('upgrades', 'hints', refused('response_timeout', { keeps: false }), 'responseHead'),
  on('upgrades', 'resetsInHead', refused('upstream_reset', { keeps: false, retries: 0 })),
  on('upgrades', 'closesInHead', refused('upstream_reset', { keeps: false, retries: 0 })),
  on('upgrades', 'answers', last),
  on('upgrades', 'stallsInBody', cut('idle_timeout'), 'idle'),
  on('upgrades', 'closesInBody', cut('upstream_truncated')),
  on('upgrades', 'resetsInBody', cut('upstream_truncated')),
  on('upgrades', 'opensTunnel', over, 'tunnel'),
  on('upgrades', 'resetsTunnel', { ...refused('tunnel_failed'), status: 101, sees: 'whole', keeps: false }),
  on('upgrades', 'closesTunnel', over),
  on('leavesUpgradeConnecting', 'neverAccepts', gone('CC')),
  on('leavesUpgrade', 'stalls', gone('CH')),
  on('resetsUpgrade', 'stalls', gone('CH')),
  on('endsItsSideInUpgrade', 'stalls', gone('CH')),
  on('endsItsSideOfTunnel', 'speaksOnInTunnel', over),
  on('leavesTunnel', 'opensTunnel', { ...over, sees: 'nothing' }),
  on('resetsTunnel', 'opensTunnel', { ...over, sees: 'nothing' }),
];

export const FAULT_CASES: readonly FaultCase[] = [...UPSTREAM_FAULTS, ...CLIENT_FAULTS, ...TUNNEL_FAULTS];

/** `maxConnections` is a worker's own: of several, another one may have a connection left. */
export function casesFor({ workers }: Subject): readonly FaultCase[] {
  return FAULT_CASES.filter(({ upstream }) => workers === 1 || upstream !== 'isBusy');
}
