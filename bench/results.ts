/** What `bench/README.md` and its picture are made from: `results.json`, one entry by part. */

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { MachineFacts } from './machine.ts';
import type { Table } from './report.ts';
import type { Part } from './standard.ts';

const FILE = new URL('./results.json', import.meta.url);

export interface RunFacts {
  readonly rounds: number;
  /** Of each round. */
  readonly seconds: number;
}

export interface PartResult {
  readonly machine: MachineFacts;
  readonly run: RunFacts;
  readonly tables: readonly Table[];
  /** CPU per request against HAProxy's in the same run; of parts that measure cases. */
  readonly ratios: readonly { readonly title: string; readonly subject: string; readonly cpu?: number }[];
}

export type Results = Readonly<Partial<Record<Part, PartResult>>>;

export function readResults(): Results {
  return existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as Results) : {};
}

/** Replaces one part and keeps the others. */
export function writeResults(part: Part, result: PartResult): void {
  writeFileSync(FILE, `${JSON.stringify({ ...readResults(), [part]: result }, null, 2)}\n`);
}
