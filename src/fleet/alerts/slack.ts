/** Slack's incoming webhook. */

import { postJson } from '../../alerts/webhook.ts';
import type { Delivery, Message } from './state.ts';
import { slackPayload } from './text.ts';

export function sendToSlack(url: string, message: Message, signal: AbortSignal): Promise<Delivery> {
  return postJson({ url, who: 'Slack', key: 'alerts.slack.url' }, slackPayload(message), signal);
}
