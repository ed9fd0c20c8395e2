/**
 * Mixed traffic for half an hour, while everything around the proxy comes and goes: nothing may fail without an
 * explanation, and nothing may grow. Exit code 1 when something does.
 *
 *   node bench/soak.ts [--minutes 30] [--write]
 */

import { writeFileSync } from 'node:fs';
import { hostFacts } from './machine.ts';
import { plainText } from './report.ts';
import { readSoakOptions, type SoakCommand, USAGE, UsageError } from './soak/options.ts';
import { writeSoakPicture } from './soak/picture.ts';
import { writeSoakReadme } from './soak/readme.ts';
import { columnsOf, type KeptSoak, writeSoak } from './soak/results.ts';
import { type SoakResult, soak } from './soak/run.ts';
import { EVENT_KINDS } from './soak/schedule.ts';
import { faultsOf, tablesOf } from './soak/tables.ts';

async function main(args: readonly string[]): Promise<number> {
  let command: SoakCommand | 'help';
  try {
    command = readSoakOptions(args);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    return 2;
  }
  if (command === 'help') {
    console.log(USAGE);
    return 0;
  }
  const result = await soak({
    ...command,
    seconds: command.minutes * 60,
    sampleMs: command.sample * 1000,
    log: (line) => console.log(line),
  });
  const kept = keep(result, command);
  for (const table of tablesOf(kept)) console.log(`\n${plainText(table)}`);
  console.log(`\nthe log: ${JSON.stringify(result.said, null, 2)}`);
  const faults = faultsOf(kept);
  for (const fault of faults) console.error(fault);
  if (command.json !== undefined) writeFileSync(command.json, `${JSON.stringify(kept)}\n`);
  if (command.write) {
    writeSoak(kept);
    writeSoakReadme(kept);
    writeSoakPicture(kept);
  }
  return faults.length === 0 ? 0 : 1;
}

function keep(
  { samples, happened, seconds, said: _, ...rest }: SoakResult,
  { pace, share, workers }: SoakCommand,
): KeptSoak {
  const timesOf = (kind: string) =>
    happened
      .filter((one) => one.kind === kind)
      .map(({ at }) => Math.round(at))
      .sort((a, b) => a - b);
  return {
    ...rest,
    machine: hostFacts(),
    node: process.versions.node,
    minutes: seconds / 60,
    pace,
    share,
    workers,
    events: Object.fromEntries(EVENT_KINDS.map((kind) => [kind, timesOf(kind)])),
    columns: columnsOf(samples, Object.keys(rest.atRest)),
  };
}

process.exitCode = await main(process.argv.slice(2));
