/** Where rows and backends come from, for comments in the configuration. */
import path from 'node:path';
import type { BuiltBackend } from './backends.ts';
import type { BuiltRoute } from './routes.ts';
import type { Statement } from './statement.ts';

/** By key path. */
export function commentsOf(
  routes: readonly BuiltRoute[],
  backends: ReadonlyMap<string, BuiltBackend>,
  groupHeader: string | undefined,
): ReadonlyMap<string, string> {
  const comments = new Map<string, string>();
  for (const [index, { statements }] of routes.entries())
    comments.set(`routes.${index}`, placesOf(statements));
  for (const [name, { statements }] of backends) {
    comments.set(
      `backends.${name}`,
      statements.length === 0 ? 'HAProxy answers 503 here' : placesOf(statements),
    );
  }
  if (groupHeader !== undefined) comments.set('groupHeader', 'the field that the rules look at most');
  return comments;
}

/** `haproxy.cfg:12, 14-16` */
function placesOf(statements: readonly Statement[]): string {
  const byFile = new Map<string, number[]>();
  for (const { file, line } of statements) byFile.set(file, [...(byFile.get(file) ?? []), line]);
  return [...byFile]
    .map(
      ([file, lines]) =>
        `${printable(path.basename(file))}:${[...new Set(lines)].sort((a, b) => a - b).join(', ')}`,
    )
    .join('; ');
}

export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}
