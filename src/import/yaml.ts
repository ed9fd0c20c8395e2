/** The configuration as text, with the lines that it came from. */
import { Document, isMap, isScalar, isSeq, type Node, type Pair } from 'yaml';
import type { ConfigInput } from '../config/schema.ts';

export const LANGUAGE_SERVER = '# yaml-language-server: $schema=./pointsman.schema.json\n';

/** Longest map that stands in one line. */
const LINE = 96;

/**
 * @param comments by key path (`routes.0`, `backends.canary`)
 */
export function writeYaml(
  config: ConfigInput,
  comments: ReadonlyMap<string, string>,
  head: readonly string[],
): string {
  const document = new Document(escapeDollars(config), { aliasDuplicateObjects: false });
  const { contents } = document;
  if (!isMap(contents)) throw new Error('a configuration is a map');
  for (const pair of contents.items as Pair<Node, Node>[]) {
    const key = isScalar(pair.key) ? String(pair.key.value) : '';
    const { value } = pair;
    if (key === 'routes' && isSeq(value)) {
      for (const [index, route] of (value.items as Node[]).entries())
        comment(route, comments.get(`routes.${index}`));
    } else if (key === 'backends' && isMap(value)) {
      for (const backend of value.items as Pair<Node, Node>[]) {
        const name = isScalar(backend.key) ? String(backend.key.value) : '';
        comment(backend.key, comments.get(`backends.${name}`));
      }
    } else comment(pair.key, comments.get(key));
    flow(value, 2);
  }
  const lines = head.map((line) => `# ${line}\n`).join('');
  return `${LANGUAGE_SERVER}${lines}${document.toString({ lineWidth: 0, flowCollectionPadding: true })}`;
}

function comment(node: Node, text: string | undefined): void {
  if (text !== undefined) node.commentBefore = ` ${text}`;
}

/** Small maps and lists in one line; those that are too long in several. */
function flow(node: Node | null, depth: number): void {
  if (!isMap(node) && !isSeq(node)) return;
  const length = JSON.stringify(node.toJSON()).length;
  if (depth > 0 && (isSeq(node) || length > LINE || depth === 2)) {
    for (const item of node.items)
      flow((isMap(node) ? (item as Pair<Node, Node>).value : item) as Node, depth - 1);
    if (depth === 2 || length > LINE) return;
  }
  if (length <= LINE || depth <= 0) node.flow = length <= LINE * 1.3;
}

/** In a configuration `$` begins a reference to the environment. */
function escapeDollars(value: unknown): unknown {
  if (typeof value === 'string') return value === COOKIE_KEY ? value : value.replaceAll('$', '$$$$');
  if (Array.isArray(value)) return value.map(escapeDollars);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [escapeDollars(key), escapeDollars(inner)]),
  );
}

/** The one reference that the importer writes itself. */
const COOKIE_KEY = '${POINTSMAN_COOKIE_KEY}';
