/** The proxy's log, told in a line each. */

export type Tone = 'plain' | 'good' | 'bad' | 'act';

export interface DemoEvent {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly text: string;
  readonly tone: Tone;
}

/** Longest line of log that is parsed; the proxy's own are far shorter. */
const MAX_LINE = 64 * 1024;

/** Undefined for lines that are not worth a place, and for anything that is no line of the proxy's log. */
export function eventOf(line: string, now: number): DemoEvent | undefined {
  const entry = parse(line);
  if (entry === undefined) return undefined;
  const time = Date.parse(String(entry['time']));
  const at = Number.isNaN(time) ? now : time;
  const backends = Array.isArray(entry['backends']) ? entry['backends'].join(', ') : '';
  switch (entry['msg']) {
    case 'listening':
      return { at, text: 'proxy: listening', tone: 'plain' };
    case 'endpoint is down':
      return { at, text: `proxy: ${backends} is down: ${entry['reason']}`, tone: 'bad' };
    case 'backend has no available endpoint':
      // Each backend of the demo has one endpoint, whose own line says it already.
      return undefined;
    case 'endpoint is up':
      if (entry['from'] === 'unchecked') return undefined;
      return { at, text: `proxy: ${backends} is up: ${entry['reason']}`, tone: 'good' };
    case 'configuration reloaded': {
      const changes = Array.isArray(entry['changes']) ? entry['changes'] : [];
      const text = changes.length === 0 ? 'nothing that counts changed' : joinChanges(changes.map(String));
      return { at, text: `proxy: reloaded: ${text}`, tone: 'good' };
    }
    default: {
      if (!['warn', 'error', 'fatal'].includes(String(entry['level']))) return undefined;
      const problems = Array.isArray(entry['problems']) ? `: ${entry['problems'].join('; ')}` : '';
      const about = typeof entry['backend'] === 'string' ? `${entry['backend']}: ` : '';
      return { at, text: `proxy: ${about}${entry['msg']}${problems}`, tone: 'bad' };
    }
  }
}

/** `route free: canary 5 → 25; route free: production 95 → 75` names the row once. */
function joinChanges(changes: readonly string[]): string {
  const subject = (change: string | undefined) => /^route [^:]+: /.exec(change ?? '')?.[0] ?? '';
  return changes
    .map((change, index) => {
      const own = subject(change);
      return own !== '' && own === subject(changes[index - 1]) ? change.slice(own.length) : change;
    })
    .join('; ');
}

function parse(line: string): Record<string, unknown> | undefined {
  if (line.length > MAX_LINE || !line.startsWith('{')) return undefined;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** `12:03:11`, local time. */
export function clockTime(at: number): string {
  const date = new Date(at);
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((part) => String(part).padStart(2, '0'))
    .join(':');
}
