/** Commit messages that people read and `history` reads back. */

import { versionOf } from './image.ts';
import type { Change } from './machine.ts';

export interface CommitFacts {
  readonly service: string;
  readonly change: Change;
  readonly by: string;
  readonly reason: string | undefined;
  /** `judge=pass (0.2 % of 1204)`, one per gate. */
  readonly gates: readonly string[];
  /** Of a rollback: how many users met the build, in words. */
  readonly users?: string | undefined;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
const CONTROLS = /[\u0000-\u001f\u007f\u2028\u2029]+/g;

/** Line breaks would end a trailer and begin a forged one. */
function oneLine(text: string): string {
  return text.replace(CONTROLS, ' ').trim().slice(0, 1_000);
}

export function subjectOf({ service, change }: Pick<CommitFacts, 'service' | 'change'>): string {
  const { verb, stage, image, before, weights } = change;
  const build = image === undefined ? 'nothing' : versionOf(image);
  const from = before === undefined ? '' : `${versionOf(before)} → `;
  switch (verb) {
    case 'init':
      return `init(${service}): ${image === undefined ? 'new service' : `${build} everywhere`}`;
    case 'advance':
      return weights === undefined
        ? `advance(${service}): ${stage} keeps ${build}`
        : `advance(${service}): ${stage} ${build} ${weights[0]} % → ${weights[1]} %`;
    case 'approve':
      return `approve(${service}): ${stage} ${build}`;
    case 'render':
      return `render(${service}): templates changed`;
    default:
      return `${verb}(${service}): ${stage} ${from}${build}`;
  }
}

export function commitMessage(facts: CommitFacts): string {
  const { service, change, by, reason, gates, users } = facts;
  const trailers: (readonly [string, string | undefined])[] = [
    ['Stage-Verb', change.verb],
    ['Stage-Service', service],
    ['Stage-Name', change.stage === '' ? undefined : change.stage],
    ['Stage-Image', change.image],
    ['Stage-Image-Before', change.before],
    ['Stage-Weight', change.weights?.[1].toString()],
    ['Stage-Gates', gates.length === 0 ? undefined : gates.join('; ')],
    ['Stage-Forced', change.forced.length === 0 ? undefined : change.forced.join(' ')],
    ['Stage-Reason', reason],
    ['Stage-Users', users],
    ['Stage-By', by],
  ];
  const why = reason === undefined ? '' : `\n${oneLine(reason)}\n`;
  const met = users === undefined ? '' : `\nUsers: ${oneLine(users)}.\n`;
  const lines = trailers
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([key, value]) => `${key}: ${oneLine(value!)}`);
  return `${subjectOf(facts)}\n${why}${met}\n${lines.join('\n')}\n`;
}

export interface HistoryEntry {
  readonly commit: string;
  readonly at: string;
  readonly subject: string;
  readonly verb: string;
  readonly stage: string;
  readonly image: string;
  readonly by: string;
  readonly reason: string;
  readonly forced: string;
  readonly gates: string;
  readonly users: string;
}

const FIELDS = [
  'Stage-Verb',
  'Stage-Name',
  'Stage-Image',
  'Stage-By',
  'Stage-Reason',
  'Stage-Forced',
  'Stage-Gates',
  'Stage-Users',
];

/** `--format` of `git log` for `parseHistory`. */
export const HISTORY_FORMAT = `%H%x00%cI%x00%s%x00${FIELDS.map((key) => `%(trailers:key=${key},valueonly,separator=%x20)`).join('%x00')}%x01`;

export function parseHistory(text: string): HistoryEntry[] {
  return text
    .split('\x01')
    .map((record) => record.replace(/^\n/, ''))
    .filter((record) => record !== '')
    .map((record) => {
      const [
        commit = '',
        at = '',
        subject = '',
        verb = '',
        stage = '',
        image = '',
        by = '',
        reason = '',
        forced = '',
        gates = '',
        users = '',
      ] = record.split('\0').map((field) => field.trim());
      return { commit, at, subject, verb, stage, image, by, reason, forced, gates, users };
    });
}
