/** E-mail over SMTP. */

import { sendMail as send } from '../../alerts/mail.ts';
import type { FleetSettings } from '../settings.ts';
import type { Delivery, Message } from './state.ts';
import { mailHtml, mailText, subjectOf } from './text.ts';

export { mailServer } from '../../alerts/mail.ts';

export function sendMail(
  settings: NonNullable<FleetSettings['alerts']['email']>,
  message: Message,
): Promise<Delivery> {
  return send(settings, {
    subject: subjectOf(message),
    text: mailText(message),
    html: mailHtml(message),
    id: `${message.id}.${Buffer.from(message.cluster).toString('hex').slice(0, 40)}`,
    at: message.at,
  });
}
