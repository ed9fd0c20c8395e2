/** E-mail over SMTP. */

import { createTransport } from 'nodemailer';
import type { Delivery } from './delivery.ts';
import { said } from './said.ts';

export interface MailSettings {
  /** `smtp://[USER:PASSWORD@]HOST[:PORT]`, or `smtps://` */
  readonly server: string;
  /** STARTTLS on `smtp://`. */
  readonly tls: 'required' | 'opportunistic' | 'off';
  readonly from: string;
  readonly to: string | string[];
}

export interface Mail {
  readonly subject: string;
  readonly text: string;
  readonly html?: string;
  /** The same for every try, so that mail programs show it once should an earlier one have arrived after all. */
  readonly id: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

/** Where it goes, without the password. @throws Error in plain words when `server` is no SMTP URL */
export function mailServer(server: string): {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  readonly user: string;
  readonly password: string;
} {
  const url = URL.canParse(server) ? new URL(server) : undefined;
  if (url === undefined || (url.protocol !== 'smtp:' && url.protocol !== 'smtps:') || url.hostname === '') {
    throw new Error('alerts.email.server is not smtp://[USER:PASSWORD@]HOST[:PORT] or smtps://…');
  }
  const secure = url.protocol === 'smtps:';
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port) || (secure ? 465 : 587),
    secure,
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
  };
}

interface SmtpError extends NodeJS.ErrnoException {
  readonly responseCode?: number;
  readonly response?: string;
}

export async function sendMail(settings: MailSettings, mail: Mail): Promise<Delivery> {
  const { host, port, secure, user, password } = mailServer(settings.server);
  const transport = createTransport({
    host,
    port,
    secure,
    requireTLS: !secure && settings.tls === 'required',
    ignoreTLS: settings.tls === 'off',
    // Opportunistic means as private as the server is able to: a certificate of its own is better than none.
    tls: { rejectUnauthorized: settings.tls !== 'opportunistic' },
    ...(user === '' ? {} : { auth: { user, pass: password } }),
    connectionTimeout: 10_000,
    greetingTimeout: 10_000,
    socketTimeout: 20_000,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const domain = settings.from.replace(/^.*@|>.*$/g, '') || 'pointsman.invalid';
  try {
    await transport.sendMail({
      from: settings.from,
      to: settings.to,
      subject: mail.subject,
      text: mail.text,
      ...(mail.html === undefined ? {} : { html: mail.html }),
      messageId: `<${mail.id}@${domain}>`,
      date: new Date(mail.at),
      // RFC 3834: nobody's holiday notice answers it.
      headers: { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'All' },
    });
    return { result: 'sent' };
  } catch (error) {
    const { code, responseCode, response, message: words } = error as SmtpError;
    const answer = said(response ?? words, [user, password]);
    const where = `${host}:${port}`;
    if (code === 'EAUTH')
      return {
        result: 'refused',
        error: `${where} does not accept user and password of alerts.email.server`,
      };
    if (code === 'ETLS')
      return {
        result: 'refused',
        error: `${where} offers no TLS that holds (${answer}); see alerts.email.tls`,
      };
    // 5xx is for good (RFC 5321 4.2.1); 4xx, such as greylisting, passes.
    if (responseCode !== undefined && responseCode >= 500)
      return { result: 'refused', error: `${where} refuses the mail: ${answer}` };
    if (responseCode !== undefined)
      return { result: 'later', error: `${where} takes no mail now: ${answer}` };
    return { result: 'later', error: `${where} cannot be reached (${code ?? answer})` };
  } finally {
    transport.close();
  }
}
