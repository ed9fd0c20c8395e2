/** The same cases against Pointsman's lanes, HAProxy and nginx, all judged by what the clauses allow to anybody. */

import { startOrigin } from '../support/origin.ts';
import { startPointsman } from '../support/pointsman-process.ts';
import { BACKENDS } from './cases/case.ts';
import { familyOf, REQUEST_CASES, RESPONSE_CASES } from './cases/index.ts';
import { HAPROXY, NGINX, type Table } from './other-proxies.ts';
import { runRequestCases, type Way } from './requests.ts';
import { ResponseOrigin, runResponseCases } from './responses.ts';
import { brokenUpstreamConfig, RESPONSE_GROUPS, tortureConfig } from './subject.ts';

/** How requests are sent: a case has passed when it has passed in each of these ways. */
const WAYS: readonly Way[] = ['alone', 'behind'];

interface Contestant {
  readonly name: string;
  /** @returns the port, or undefined when it is not installed */
  start(table: Table): Promise<number | undefined>;
}

export interface Score {
  readonly name: string;
  /** Cases that failed, by name, each with what was wrong. */
  readonly failed: ReadonlyMap<string, string>;
}

const CONTESTANTS: readonly Contestant[] = [
  ...(['fast', 'full'] as const).map((lane) => ({
    name: `Pointsman, ${lane} lane`,
    start: async ({ ports, oneConnection }: Table) => {
      const config = oneConnection ? brokenUpstreamConfig(ports, lane) : tortureConfig(ports, lane);
      return (await startPointsman(config, { workers: 1 })).trafficPort;
    },
  })),
  ...[HAPROXY, NGINX]
    .filter(({ version }) => version !== '')
    .map((proxy) => ({
      name: `${proxy.name} ${proxy.version}`,
      start: (table: Table) => proxy.start(table),
    })),
];

export async function scoreAll(log: (line: string) => void): Promise<Score[]> {
  const scores: Score[] = [];
  for (const { name, start } of CONTESTANTS) {
    const failed = new Map<string, string>();
    const origin = await startOrigin(BACKENDS);
    const others = BACKENDS.at(-1)!;
    const ports = { [others]: origin.ports[others]!, ...origin.ports };
    const port = (await start({ ports, responseMs: 4_000, oneConnection: false }))!;
    for (const way of WAYS) {
      for (const { theCase, judgement } of await runRequestCases(port, origin, REQUEST_CASES, {
        way,
        ours: false,
      })) {
        if (judgement.problems.length > 0) failed.set(theCase.name, judgement.problems.join('; '));
      }
    }
    const upstream = await ResponseOrigin.start(RESPONSE_GROUPS);
    const broken = (await start({ ports: upstream.origin.ports, responseMs: 700, oneConnection: true }))!;
    const options = { way: 'whole', lane: undefined } as const;
    for (const { theCase, problems } of await runResponseCases(
      broken,
      upstream,
      RESPONSE_GROUPS,
      RESPONSE_CASES,
      options,
    )) {
      if (problems.length > 0) failed.set(theCase.name, problems.join('; '));
    }
    log(`${name}: ${total - failed.size} of ${total}`);
    scores.push({ name, failed });
  }
  return scores;
}

const total = REQUEST_CASES.length + RESPONSE_CASES.length;

/** Markdown. */
export function scoreTable(scores: readonly Score[]): string {
  const rows: string[][] = [['family', 'cases', ...scores.map(({ name }) => name)]];
  const families = new Map<string, string[]>();
  for (const theCase of [...REQUEST_CASES, ...RESPONSE_CASES]) {
    const family = familyOf(theCase);
    families.set(family, [...(families.get(family) ?? []), theCase.name]);
  }
  const row = (what: string, names: readonly string[]) => [
    what,
    String(names.length),
    ...scores.map(({ failed }) => String(names.filter((name) => !failed.has(name)).length)),
  ];
  for (const [family, names] of families) rows.push(row(family, names));
  rows.push(
    row(
      '**requests**',
      REQUEST_CASES.map(({ name }) => name),
    ),
  );
  rows.push(
    row(
      '**responses**',
      RESPONSE_CASES.map(({ name }) => name),
    ),
  );
  rows.push(
    row(
      '**all**',
      [...REQUEST_CASES, ...RESPONSE_CASES].map(({ name }) => name),
    ),
  );
  const lines = rows.map((cells) => `| ${cells.join(' | ')} |`);
  const rule = `|---|${'---:|'.repeat(scores.length + 1)}`;
  return [lines[0], rule, ...lines.slice(1)].join('\n');
}
