/** A strict reader of the Prometheus text format, so that a test notices what a scraper would refuse. */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: \d+)?$/;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/gy;

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.length) {
    const match = LABEL.exec(text);
    if (match === null) throw new Error(`bad labels: ${text}`);
    if (Object.hasOwn(labels, match[1]!)) throw new Error(`label ${match[1]} twice: ${text}`);
    labels[match[1]!] = match[2]!;
  }
  return labels;
}

/** Throws when a line is malformed, a series comes twice, or a sample has no TYPE before it. */
export function parseExposition(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const families = new Map<string, { name: string; type: string; help: string; samples: Sample[] }>();
  const helps = new Map<string, string>();
  const series = new Set<string>();
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const help = /^# HELP (\S+) (.+)$/.exec(line);
    if (help !== null) {
      helps.set(help[1]!, help[2]!);
      continue;
    }
    const type = /^# TYPE (\S+) (counter|gauge|histogram|summary|untyped)$/.exec(line);
    if (type !== null) {
      const name = type[1]!;
      if (families.has(name)) throw new Error(`two families ${name}`);
      families.set(name, { name, type: type[2]!, help: helps.get(name) ?? '', samples: [] });
      continue;
    }
    const match = LINE.exec(line);
    if (match === null) throw new Error(`bad line: ${line}`);
    const name = match[1]!;
    const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ''));
    if (family === undefined) throw new Error(`no TYPE before ${line}`);
    const labels = parseLabels(match[2] ?? '');
    const key = `${name}${JSON.stringify(Object.entries(labels).sort())}`;
    if (series.has(key)) throw new Error(`series twice: ${line}`);
    series.add(key);
    const value = Number(match[3] === '+Inf' ? Number.POSITIVE_INFINITY : match[3]);
    // prom-client writes `Nan`, which Prometheus reads as well.
    if (Number.isNaN(value) && match[3]!.toLowerCase() !== 'nan') throw new Error(`bad value: ${line}`);
    family.samples.push({ name, labels, value });
  }
  return families;
}
