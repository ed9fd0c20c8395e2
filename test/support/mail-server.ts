/** A real SMTP server, with STARTTLS and users, that refuses as a test says. */

import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';
import { selfSigned } from './certificate.ts';
import { cleanUp } from './clean-up.ts';

export interface MailRefusal {
  readonly code: number;
  readonly text: string;
}

export interface ReceivedMail {
  readonly from: string;
  readonly to: readonly string[];
  /** Header and body as sent. */
  readonly raw: string;
  readonly secure: boolean;
  readonly user: string;
}

export class MailServer {
  readonly mails: ReceivedMail[] = [];
  attempts = 0;
  /** For the mails to come, one each; then all are taken. */
  refusals: MailRefusal[] = [];
  port = 0;
  readonly certificate = selfSigned('localhost', '127.0.0.1');

  async start(
    options: { readonly user?: string; readonly password?: string; readonly tls?: boolean } = {},
  ): Promise<this> {
    const { user, password, tls = true } = options;
    const server = new SMTPServer({
      ...(tls
        ? { key: this.certificate.key, cert: this.certificate.cert }
        : { disabledCommands: ['STARTTLS'] }),
      authOptional: user === undefined,
      allowInsecureAuth: !tls,
      onAuth: (auth, _session, callback) => {
        if (auth.username === user && auth.password === password) callback(null, { user: auth.username });
        else callback(new Error('Invalid username or password'));
      },
      onData: (stream, session, callback) => {
        const chunks: Buffer[] = [];
        stream.on('data', (chunk: Buffer) => chunks.push(chunk));
        stream.on('end', () => {
          this.attempts++;
          const refusal = this.refusals.shift();
          if (refusal !== undefined)
            return callback(Object.assign(new Error(refusal.text), { responseCode: refusal.code }));
          const { mailFrom, rcptTo } = session.envelope;
          this.mails.push({
            from: mailFrom === false ? '' : mailFrom.address,
            to: rcptTo.map(({ address }) => address),
            raw: Buffer.concat(chunks).toString('utf8'),
            secure: session.secure,
            user: String(session.user ?? ''),
          });
          callback();
        });
      },
    });
    server.on('error', () => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.port = (server.server.address() as AddressInfo).port;
    cleanUp(() => new Promise<void>((resolve) => server.close(() => resolve())));
    return this;
  }
}

/** Quoted-printable and folded lines undone: enough to look for words. */
export function readable(raw: string): string {
  return raw
    .replaceAll(/\r\n[ \t]/g, ' ')
    .replaceAll(/=\r\n/g, '')
    .replaceAll(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
