/** Puts the tables of the run between the marks of bench/README.md, with what it was made on. */

import { readFileSync, writeFileSync } from 'node:fs';
import { between } from '../../test/support/between-marks.ts';
import { markdown } from '../report.ts';
import type { KeptSoak } from './results.ts';
import { faultsOf, tablesOf } from './tables.ts';

export const MARK = 'soak';

export function writeSoakReadme(kept: KeptSoak): void {
  const file = new URL('../README.md', import.meta.url);
  writeFileSync(file, between(readFileSync(file, 'utf8'), MARK, soakText(kept)));
}

export function soakText(kept: KeptSoak): string {
  const { machine, node, minutes, workers, answered, held } = kept;
  const faults = faultsOf(kept);
  const place = `${machine.cpu}, ${machine.cores} cores, ${machine.memoryMiB} MiB, Linux ${machine.kernel}, node ${node}`;
  return [
    `Made on ${machine.date} by \`node bench/soak.ts --minutes ${Math.round(minutes)} --write\` with ${workers} workers on ${place}; the machine was shared with other programs, so latencies say little.`,
    `${faults.length === 0 ? 'No failure without an explanation, and nothing grows' : `${faults.length} faults`}. ` +
      `Upstreams answered ${grouped(answered.clients)} requests in full as clients count them and ${grouped(answered.accessLog)} as the access log does: killed workers take lines with them, and clients that are cut have not read all that was sent. ` +
      `${grouped(held)} requests were not sent, since too many of their kind were under way.`,
    '',
    tablesOf(kept).map(markdown).join('\n\n'),
  ].join('\n');
}

function grouped(count: number): string {
  return count.toLocaleString('en-GB');
}
