/** The table of ../README.md: what every fault ends in. */

import type { FaultCase, Sight } from './case.ts';
import { FAULT_CASES } from './cases.ts';
import { CLIENTS } from './clients.ts';
import { UPSTREAMS } from './upstreams.ts';

const SIGHTS: Readonly<Record<Sight, string>> = {
  whole: 'the response',
  cut: 'its beginning, and a cut',
  refusal: 'that answer',
  end: 'an end without a word',
  nothing: '',
};

export function faultTable(): string {
  return [
    '| the client | the upstream | status | reason | log | `timeouts.` | retries | the client gets | its connection |',
    '|---|---|---:|---|---|---|---:|---|---|',
    ...FAULT_CASES.map(rowOf),
  ].join('\n');
}

function rowOf({ client, upstream, timeout, ends }: FaultCase): string {
  const { status, reason, log, sees, keeps, retries } = ends;
  const cells = [
    CLIENTS[client].what,
    UPSTREAMS[upstream].what,
    status ?? '',
    reason === undefined ? '' : `\`${reason}\``,
    log ?? '',
    timeout === undefined ? '' : `\`${timeout}\``,
    retries ?? '',
    SIGHTS[sees],
    keeps ? 'stays' : 'ends',
  ];
  return `| ${cells.join(' | ')} |`;
}
