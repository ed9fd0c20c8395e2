/** Text → configuration, or every problem of it in one go. */
import { Buffer, isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { readDocument } from './document.ts';
import type { Environment } from './environment.ts';
import { type InvariantRule, type Violation, violationFaults, violationsOf } from './invariant-rules.ts';
import { isFaulty, type LocatedNode, lineIndex, plainValue } from './located.ts';
import { compareProblems, type Fault, formatKeyPath, type Problem } from './problems.ts';
import { ruleFaults } from './rules.ts';
import { type Config, configSchema } from './schema.ts';
import { schemaFaults } from './schema-faults.ts';
import { shownPath } from './secrets.ts';
import { configWarnings } from './warnings.ts';

export type ParsedConfig =
  /** `problems` are warnings. */
  | { readonly config: Config; readonly problems: readonly Problem[] }
  /** At least one problem is an error. `refused`: all of them are broken invariants, of this configuration. */
  | {
      readonly config: undefined;
      readonly problems: readonly Problem[];
      readonly refused?: Config;
      readonly broken?: readonly InvariantRule[];
    };

export interface ConfigRead {
  /** Undefined when there is none, or it is no text. */
  readonly text: string | undefined;
  /** SHA-256 of the content in hex; '' when the file could not be read. */
  readonly hash: string;
  readonly config: Config | undefined;
  readonly problems: readonly Problem[];
  /** All that is wrong is that it breaks invariants: of what it would be, and which rules. */
  readonly refused?: Config;
  readonly broken?: readonly InvariantRule[];
}

/** In bytes. */
export const MAX_CONFIG_SIZE = 4 * 1024 ** 2;

/** More than anybody reads; the last one says how many were left out. */
const MAX_PROBLEMS = 500;

/** Pure: neither reads files nor the process's own environment. */
export function parseConfig(
  text: string,
  options: { readonly file: string; readonly environment: Environment },
): ParsedConfig {
  const { file, environment } = options;
  const source = text.startsWith('\ufeff') ? text.slice(1) : text;
  const refused = refuseText(source);
  if (refused !== undefined)
    return { config: undefined, problems: located([refused], source, file, 'error') };
  const { root, faults } = readDocument(source, environment);
  if (root === undefined) {
    const empty = { offset: 0, path: [], message: `the file is empty${NEEDS}` };
    const errors = faults.length > 0 ? faults : [empty];
    return { config: undefined, problems: located(errors, source, file, 'error') };
  }
  const parsed = configSchema.safeParse(plainValue(root));
  const errors = [...faults];
  if (root.kind === 'scalar' || root.kind === 'list') {
    const empty = root.kind === 'scalar' && root.value === null;
    const message = `${empty ? 'the file is empty' : NOT_A_MAP}${NEEDS}`;
    errors.push({ offset: empty ? 0 : root.offset, path: [], message });
  } else if (!isFaulty(root, [])) {
    errors.push(...schemaFaults(parsed.error?.issues ?? [], root), ...ruleFaults(root));
  }
  if (errors.length > 0 || !parsed.success) {
    return { config: undefined, problems: located(errors, source, file, 'error') };
  }
  const violations = violationsOf(parsed.data);
  if (violations.length > 0) {
    const problems = located(violationFaults(violations, root), source, file, 'error');
    return { config: undefined, problems, refused: parsed.data, broken: rulesOf(violations) };
  }
  const warnings = configWarnings(parsed.data, root as LocatedNode);
  return { config: parsed.data, problems: located(warnings, source, file, 'warning') };
}

/** Violations that show only against another table, at their places in the file that the table was read from. */
export function locateViolations(
  violations: readonly Violation[],
  text: string,
  { file, environment }: { readonly file: string; readonly environment: Environment },
): Problem[] {
  const source = text.startsWith('\ufeff') ? text.slice(1) : text;
  const { root } = readDocument(source, environment);
  return root === undefined ? [] : located(violationFaults(violations, root), source, file, 'error');
}

export function rulesOf(violations: readonly Violation[]): InvariantRule[] {
  return [...new Set(violations.map(({ rule }) => rule))];
}

const NEEDS = '; a configuration has at least the keys backends and routes';
const NOT_A_MAP = 'expected a map of keys and values';

/** Reads and parses a file; never rejects. */
export async function readConfig(path: string, environment: Environment): Promise<ConfigRead> {
  const failed = (hash: string, message: string, line = 0, column = 0): ConfigRead => ({
    text: undefined,
    hash,
    config: undefined,
    problems: [{ file: path, line, column, keyPath: '', message, severity: 'error' }],
  });
  let bytes: Buffer;
  try {
    bytes = await readBounded(path);
  } catch (error) {
    return failed('', fileMessage(error));
  }
  const hash = createHash('sha256').update(bytes).digest('hex');
  if (bytes.length > MAX_CONFIG_SIZE)
    return failed(hash, 'is larger than 4 MiB; a configuration is text of some KiB');
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    return failed(hash, 'is UTF-16; save it as UTF-8', 1, 1);
  }
  const bad = firstBadByte(bytes);
  if (bad !== undefined) {
    const before = bytes.subarray(0, bad).toString('utf8');
    const line = before.split('\n').length;
    const column = before.length - before.lastIndexOf('\n');
    return failed(hash, 'is not UTF-8 from here on; save it as UTF-8', line, column);
  }
  const text = bytes.toString('utf8');
  return { text, hash, ...parseConfig(text, { file: path, environment }) };
}

function refuseText(text: string): Fault | undefined {
  if (text.length > MAX_CONFIG_SIZE) {
    return { offset: 0, path: [], message: 'is larger than 4 MiB; a configuration is text of some KiB' };
  }
  const nul = text.indexOf('\0');
  if (nul === -1) return undefined;
  return { offset: nul, path: [], message: 'holds a NUL character; is this a text file?' };
}

function located(
  faults: readonly Fault[],
  text: string,
  file: string,
  severity: Problem['severity'],
): Problem[] {
  const positionOf = lineIndex(text);
  const seen = new Set<string>();
  const problems: Problem[] = [];
  for (const { offset, path, message } of faults) {
    const keyPath = formatKeyPath(shownPath(path));
    const identity = `${offset} ${keyPath} ${message}`;
    if (seen.has(identity)) continue;
    seen.add(identity);
    problems.push({ file, ...positionOf(offset), keyPath, message, severity });
  }
  problems.sort(compareProblems);
  const left = problems.length - MAX_PROBLEMS;
  if (left <= 0) return problems;
  const last = problems[MAX_PROBLEMS - 1]!;
  return [
    ...problems.slice(0, MAX_PROBLEMS),
    { ...last, keyPath: '', message: `and ${left} more problems further down` },
  ];
}

/** Reads one byte more than is allowed at most, so that not even a device without end fills memory. */
async function readBounded(path: string): Promise<Buffer> {
  const handle = await open(path, 'r');
  try {
    const chunks: Buffer[] = [];
    let total = 0;
    while (total <= MAX_CONFIG_SIZE) {
      const chunk = Buffer.allocUnsafe(Math.min(65_536, MAX_CONFIG_SIZE + 1 - total));
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) break;
      chunks.push(chunk.subarray(0, bytesRead));
      total += bytesRead;
    }
    return Buffer.concat(chunks);
  } finally {
    await handle.close();
  }
}

function fileMessage(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  switch (code) {
    case 'ENOENT':
      return 'the file does not exist; check the path, and that its volume is mounted';
    case 'ENOTDIR':
      return 'the file does not exist: a part of its path is not a directory';
    case 'EISDIR':
      return 'is a directory; name the file in it';
    case 'EACCES':
    case 'EPERM':
      return 'cannot be read: permission denied; give this user the right to read it';
    case 'ELOOP':
      return 'cannot be read: its symbolic links go in circles';
    default:
      return `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Offset of the first byte that is not UTF-8; undefined when all are. */
function firstBadByte(bytes: Buffer): number | undefined {
  if (isUtf8(bytes)) return undefined;
  let good = 0;
  let bad = bytes.length;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (isUtf8Prefix(bytes.subarray(0, middle))) good = middle;
    else bad = middle;
  }
  return good;
}

/** A character cut off at the end is no fault of a prefix. */
function isUtf8Prefix(bytes: Buffer): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}
