/** Label and field selectors as the API server reads them. */

export type Labels = Readonly<Record<string, string>>;

/** `a=b`, `a==b`, `a!=b`, `a`, `!a`, `a in (b,c)`, `a notin (b,c)`, joined by commas. @throws Error when malformed */
export function labelSelector(text: string): (labels: Labels) => boolean {
  const requirements = split(text).map(requirement);
  return (labels) => requirements.every((fits) => fits(labels));
}

function split(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let part = '';
  for (const character of text) {
    if (character === '(') depth++;
    if (character === ')') depth--;
    if (character === ',' && depth === 0) {
      parts.push(part);
      part = '';
    } else part += character;
  }
  if (part.trim() !== '') parts.push(part);
  return parts.map((one) => one.trim());
}

function requirement(text: string): (labels: Labels) => boolean {
  const set = /^([\w./-]+)\s+(in|notin)\s+\(([^)]*)\)$/.exec(text);
  if (set !== null) {
    const [, key = '', operator, list = ''] = set;
    const values = list.split(',').map((value) => value.trim());
    // `notin` also fits objects without the label.
    return (labels) => values.includes(labels[key] ?? '\0') === (operator === 'in');
  }
  const equal = /^([\w./-]+)\s*(==|=|!=)\s*([\w.-]*)$/.exec(text);
  if (equal !== null) {
    const [, key = '', operator, value = ''] = equal;
    return (labels) => (labels[key] === value) === (operator !== '!=');
  }
  const exists = /^(!?)([\w./-]+)$/.exec(text);
  if (exists !== null) {
    const [, not, key = ''] = exists;
    return (labels) => (labels[key] !== undefined) === (not === '');
  }
  throw new Error(`unable to parse requirement: ${text}`);
}

/** Only what every kind has. @throws Error for other fields, as the server */
export function fieldSelector(
  text: string,
): (meta: { readonly name: string; readonly namespace: string }) => boolean {
  const pairs = text.split(',').map((one) => {
    const [key = '', value = ''] = one.split('=');
    if (key !== 'metadata.name' && key !== 'metadata.namespace') {
      throw new Error(`field label not supported: ${key}`);
    }
    return [key.slice('metadata.'.length) as 'name' | 'namespace', value] as const;
  });
  return (meta) => pairs.every(([key, value]) => meta[key] === value);
}
