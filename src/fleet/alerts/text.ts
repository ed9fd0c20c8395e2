/** A message in words: for Slack, and as plain text and HTML of an e-mail. */

import { rankOf } from '../finding.ts';
import { age, clean } from '../output/text.ts';
import type { Message, Notice } from './state.ts';

const TITLES: Readonly<Record<Notice['what'], string>> = {
  firing: 'BROKEN',
  worse: 'WORSE',
  reminder: 'STILL BROKEN',
  resolved: 'RECOVERED',
  flapping: 'FLAPPING',
};

/** Slack: 50 blocks, 3,000 characters per section, and in all about 13,000 before it answers msg_blocks_too_long. */
const MAX_SLACK_NOTICES = 20;
const MAX_SLACK_TEXT = 10_000;

function sorted(notices: readonly Notice[]): Notice[] {
  const order: readonly Notice['what'][] = ['worse', 'firing', 'flapping', 'reminder', 'resolved'];
  return notices.toSorted(
    (a, b) => order.indexOf(a.what) - order.indexOf(b.what) || rankOf(b.severity) - rankOf(a.severity),
  );
}

/** `[shop-eu] 2 broken, 1 recovered: billing, account-service`. One line, whatever the names hold. */
export function subjectOf({ cluster, notices }: Message): string {
  const count = (...whats: Notice['what'][]) => notices.filter(({ what }) => whats.includes(what)).length;
  const parts = [
    [count('firing', 'worse'), 'broken'],
    [count('flapping'), 'flapping'],
    [count('reminder'), 'still broken'],
    [count('resolved'), 'recovered'],
  ].flatMap(([number, words]) => (number === 0 ? [] : [`${number} ${words}`]));
  const names = [...new Set(sorted(notices).map(({ service, object }) => service || object))];
  const shown = names.slice(0, 4).join(', ') + (names.length > 4 ? ` and ${names.length - 4} more` : '');
  return clean(`[${cluster}] ${parts.join(', ')}: ${shown}`).slice(0, 200);
}

function lineOf({ severity, namespace, service, object, message, since, at, what }: Notice): {
  title: string;
  detail: string;
} {
  const place = clean(`${namespace === '' ? '' : `${namespace}/`}${service || object}`);
  const lasted =
    since > 0 && since < at ? ` (${what === 'resolved' ? 'lasted' : 'for'} ${age(at - since)})` : '';
  return { title: `${TITLES[what]} ${severity} ${place}`, detail: `${clean(message)}${lasted}` };
}

/** The three characters that Slack's markup has (api.slack.com/reference/surfaces/formatting). */
function slackEscaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

const EMOJI: Readonly<Record<Notice['what'], string>> = {
  firing: ':red_circle:',
  worse: ':red_circle:',
  reminder: ':large_orange_circle:',
  resolved: ':white_check_mark:',
  flapping: ':large_yellow_circle:',
};

export function slackPayload(message: Message): {
  readonly text: string;
  readonly blocks: readonly unknown[];
} {
  const subject = slackEscaped(subjectOf(message));
  const blocks: unknown[] = [{ type: 'section', text: { type: 'mrkdwn', text: `*${subject}*` } }];
  let size = subject.length;
  let shown = 0;
  for (const notice of sorted(message.notices)) {
    const { title, detail } = lineOf(notice);
    const advice = notice.what === 'resolved' ? '' : `\n_${slackEscaped(clean(notice.advice))}_`;
    const text = `${EMOJI[notice.what]} *${slackEscaped(title)}*\n${slackEscaped(detail)}${advice}`.slice(
      0,
      2_900,
    );
    if (shown >= MAX_SLACK_NOTICES || size + text.length > MAX_SLACK_TEXT) break;
    blocks.push({ type: 'section', text: { type: 'mrkdwn', text } });
    size += text.length;
    shown++;
  }
  const rest = message.notices.length - shown;
  if (rest > 0)
    blocks.push({
      type: 'context',
      elements: [{ type: 'mrkdwn', text: `… and ${rest} more; see \`pointsman fleet status\`` }],
    });
  return { text: subject, blocks };
}

function htmlEscaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

export function mailText(message: Message): string {
  const parts = sorted(message.notices).map((notice) => {
    const { title, detail } = lineOf(notice);
    return `${title}\n  ${detail}${notice.what === 'resolved' ? '' : `\n  -> ${clean(notice.advice)}`}`;
  });
  return `${parts.join('\n\n')}\n\n-- \nCluster ${clean(message.cluster)}, ${new Date(message.at).toISOString()}; pointsman fleet status shows all.\n`;
}

export function mailHtml(message: Message): string {
  const colors: Readonly<Record<Notice['what'], string>> = {
    firing: '#b3261e',
    worse: '#b3261e',
    reminder: '#a85500',
    flapping: '#7a5c00',
    resolved: '#146c2e',
  };
  const items = sorted(message.notices).map((notice) => {
    const { title, detail } = lineOf(notice);
    const advice = notice.what === 'resolved' ? '' : `<br><code>${htmlEscaped(clean(notice.advice))}</code>`;
    return `<li style="margin:0 0 12px"><strong style="color:${colors[notice.what]}">${htmlEscaped(title)}</strong><br>${htmlEscaped(detail)}${advice}</li>`;
  });
  return `<!doctype html><html lang="en"><body style="font-family:sans-serif"><h1 style="font-size:18px">${htmlEscaped(subjectOf(message))}</h1><ul style="padding-left:18px">${items.join('')}</ul><p style="color:#555">${new Date(message.at).toISOString()}</p></body></html>\n`;
}
