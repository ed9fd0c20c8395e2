/**
 * The measurements that `bench/README.md` states, as parts that can be run again one by one. What each is for stands
 * with it; the subjects of a case are those that can run here.
 */

import type { Case } from './measure-case.ts';
import { SUBJECTS } from './subjects/registry.ts';
import type { Subject } from './subjects/subject.ts';
import type { Scenario } from './workload.ts';

/** Measured by cases; the others have programs of their own. */
export const CASE_PARTS = ['cpu', 'log', 'cost', 'bodies', 'connect', 'latency'] as const;
export const PARTS = [...CASE_PARTS, 'idle', 'transfer'] as const;
export type CasePart = (typeof CASE_PARTS)[number];
export type Part = (typeof PARTS)[number];

export const PART_TITLES: Readonly<Record<Part, string>> = {
  cpu: 'CPU per request',
  log: 'CPU per request with an access log of all requests',
  cost: 'What telling of decisions, guarding and watching cost',
  bodies: 'Large bodies',
  connect: 'A new connection for every request',
  latency: 'Latency at half of the load that the slowest can carry, and at 15,000 requests/s',
  idle: 'Memory of idle connections',
  transfer: 'Memory while 1 GiB goes through',
};

const PEERS = ['pointsman', 'haproxy', 'nginx'];
const LANES = ['pointsman', 'pointsman-pipelining', 'pointsman-full', 'haproxy', 'nginx'];

export function casesOf(part: CasePart): Case[] {
  switch (part) {
    case 'cpu':
      return [
        closedLoop('get', 100, 64, LANES),
        closedLoop('get', 1024, 64, LANES),
        closedLoop('get', 100, 512, LANES),
        closedLoop('get', 1024, 512, LANES),
        closedLoop('post', 1024, 64, LANES),
        closedLoop('pinned', 1024, 64, LANES),
        // With the libraries, and with the load generator that most people know.
        {
          ...closedLoop('get', 1024, 64, [...LANES, 'httpxy', 'http-proxy-3', 'direct']),
          drivers: ['autocannon'],
        },
      ];
    case 'log':
      return [{ ...closedLoop('get', 1024, 64, PEERS), accessLog: true }];
    case 'cost': {
      const names = ['pointsman', 'pointsman-observed'];
      return [
        { ...closedLoop('get', 1024, 64, names), reference: 'pointsman' },
        { ...closedLoop('pinned', 1024, 64, names), reference: 'pointsman' },
      ];
    }
    case 'bodies':
      return [closedLoop('get', 64 * 1024, 64, PEERS), closedLoop('get', 1024 * 1024, 64, PEERS)];
    case 'connect':
      return [closedLoop('connect', 100, 64, [...PEERS, 'pointsman-full'])];
    case 'latency':
      // At half of the load the generator and the upstreams fill the core that they share: their queue is in the tails.
      return [
        { ...closedLoop('get', 1024, 64, [...PEERS, 'direct']), drivers: 'paced' },
        { ...closedLoop('get', 1024, 64, [...PEERS, 'direct']), drivers: 'paced', rate: 15_000 },
      ];
  }
}

function closedLoop(scenario: Scenario, size: number, connections: number, names: readonly string[]): Case {
  const subjects = names
    .map((name) => SUBJECTS.find((subject) => subject.name === name))
    .filter((subject): subject is Subject => subject !== undefined && subject.unavailable() === undefined);
  return { scenario, size, connections, accessLog: false, subjects, drivers: ['wrk'] };
}
