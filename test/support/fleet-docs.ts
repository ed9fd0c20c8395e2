/** The parts of deploy/fleet/README.md that are derived from the code. Run it to write them; a test fails when they differ. */

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { KINDS } from '../../src/fleet/finding.ts';
import { fleetSchema } from '../../src/fleet/settings.ts';
import { between } from './between-marks.ts';

export const FLEET_README = fileURLToPath(new URL('../../deploy/fleet/README.md', import.meta.url));

interface JsonNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly properties?: Readonly<Record<string, JsonNode>>;
  readonly items?: JsonNode;
  readonly anyOf?: readonly JsonNode[];
}

function rows(prefix: string, { properties = {} }: JsonNode): string[] {
  return Object.entries(properties).flatMap(([name, node]) => {
    const key = `${prefix}${name}`;
    const inner =
      node.properties !== undefined
        ? rows(`${key}.`, node)
        : node.items?.properties !== undefined
          ? rows(`${key}[].`, node.items)
          : [];
    const fallback =
      node.default === undefined || node.properties !== undefined
        ? ''
        : `\`${JSON.stringify(node.default)}\``;
    const choices =
      node.enum === undefined ? '' : `${node.enum.map((choice) => `\`${choice}\``).join(', ')}. `;
    return inner.length > 0 && node.description === undefined
      ? inner
      : [`| \`${key}\` | ${fallback} | ${choices}${node.description ?? ''} |`, ...inner];
  });
}

export function deriveFleet(readme: string): string {
  const kinds = [
    '| Kind | Meaning |',
    '|---|---|',
    ...Object.entries(KINDS).map(([kind, words]) => `| \`${kind}\` | ${words} |`),
  ].join('\n');
  const schema = z.toJSONSchema(fleetSchema, { io: 'input', unrepresentable: 'any' }) as JsonNode;
  const settings = ['| Key | Default | Meaning |', '|---|---|---|', ...rows('', schema)].join('\n');
  return between(between(readme, 'kinds', kinds), 'settings', settings);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(FLEET_README, deriveFleet(readFileSync(FLEET_README, 'utf8')));
