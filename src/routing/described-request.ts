/** A request as a person writes it down, and an explanation as a person reads it. Pure. */
import type { Explanation } from './explain.ts';
import { readGroup } from './group.ts';
import type { RequestFacts } from './match.ts';
import type { RoutingTable } from './table.ts';

/** What is written is no request; the message says why. */
export class DescriptionError extends Error {}

/** The request as routing sees it; a string says why it would be refused. */
export function requestFacts(
  table: RoutingTable,
  headerLines: readonly string[],
  positionals: readonly string[],
  client = '',
): RequestFacts | string {
  if (positionals.length > 2) throw new DescriptionError('give at most METHOD and URL');
  const [first, second] = positionals;
  const target = second ?? (first !== undefined && /^(\/|https?:)/.test(first) ? first : '/');
  const method = first === undefined || first === target ? 'GET' : first;
  const rawHeaders = headerLines.flatMap((line) => {
    const colon = line.indexOf(':');
    if (colon < 1) throw new DescriptionError(`"${line}" is not a header; write 'NAME: VALUE'`);
    // Fields come as bytes, one character each.
    return [
      line.slice(0, colon).trim(),
      Buffer.from(line.slice(colon + 1).trim(), 'utf8').toString('latin1'),
    ];
  });
  const url = /^https?:\/\/([^/?#]*)(.*)$/i.exec(target);
  const path = url === null ? target : url[2]!.startsWith('/') ? url[2]! : `/${url[2]}`;
  const host = valuesOf(rawHeaders, 'host')[0] ?? url?.[1] ?? '';
  const reading = readGroup(valuesOf(rawHeaders, table.groupHeader));
  if (reading.kind === 'several' && table.ambiguousGroup === 'reject') {
    return `${table.config.groupHeader} names several groups (${reading.groups.join(', ')}), and ambiguousGroup is reject`;
  }
  const several = reading.kind === 'several' && table.ambiguousGroup === 'any' ? reading.groups : undefined;
  return {
    method,
    path,
    host: host.toLowerCase().replace(/:\d*$/, ''),
    group: reading.kind === 'one' ? reading.group : (several?.[0] ?? ''),
    groups: several,
    rawHeaders,
    client,
  };
}

function valuesOf(rawHeaders: readonly string[], lowerName: string): string[] {
  return rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]!.toLowerCase() === lowerName);
}

/** The answer of `pointsman explain` and of the status page. */
export function explanationText(explanation: Explanation): string {
  const { route, backend, split, pin, reasons, refused, spilledFrom, precedence } = explanation;
  const weights = Object.entries(split).map(([name, weight]) => `${name} ${weight}`);
  const spill = spilledFrom === null ? '' : `, spilled from ${spilledFrom}`;
  const lines = [
    `route    ${route}`,
    `split    ${weights.join(', ')}`,
    `backend  ${refused ? 'none: answered with 503' : `${backend ?? 'drawn by weight'}${spill}`}`,
    ...(pin === null
      ? []
      : [`pin      ${pin.name}${pin.bucket === null ? ', no user' : `, bucket ${pin.bucket}`}`]),
    'because',
    ...reasons.map((reason) => `  ${reason}`),
    'order of precedence (▸ counted here)',
    ...precedence.map(
      ({ step, counts, says }, i) => `${counts ? '▸' : ' '} ${i + 1} ${step.padEnd(10)}${says}`,
    ),
  ];
  return `${lines.join('\n')}\n`;
}
