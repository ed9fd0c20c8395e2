/** One thing that people should know, and how each channel is told of it. Pure. */

export interface Alert {
  /** Unique; the same for every try. */
  readonly id: string;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly severity: 'warning' | 'critical' | 'resolved';
  /** Such as `canary_guard`. */
  readonly kind: string;
  readonly service: string;
  /** Of the replica. */
  readonly host: string;
  /** One line. */
  readonly title: string;
  readonly text: string;
  /** For programs. */
  readonly facts: Readonly<Record<string, string | number>>;
}

const SYMBOL = { warning: '🟠', critical: '🔴', resolved: '🟢' } as const;

export function slackPayload({ severity, service, host, title, text }: Alert): object {
  const words = text === '' ? '' : `\n${escaped(text)}`;
  const line = `${SYMBOL[severity]} *${escaped(service)}: ${escaped(title)}*${words}\n_${escaped(host)}_`;
  return {
    text: `${service}: ${title}`,
    blocks: [{ type: 'section', text: { type: 'mrkdwn', text: line.slice(0, 3_000) } }],
  };
}

export function webhookPayload({ at, ...alert }: Alert): object {
  return { ...alert, at: new Date(at).toISOString() };
}

export function mailSubject({ severity, service, title }: Alert): string {
  return `[${severity}] ${service}: ${title}`.replaceAll(/[\r\n]+/g, ' ');
}

export function mailText({ at, service, host, title, text, facts }: Alert): string {
  const rows = Object.entries(facts).map(([key, value]) => `${key}: ${value}`);
  return [
    title,
    '',
    ...(text === '' ? [] : [text, '']),
    ...rows,
    `service: ${service}`,
    `replica: ${host}`,
    `time: ${new Date(at).toISOString()}`,
    '',
  ].join('\n');
}

/** The three characters that mean something to Slack. */
function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
