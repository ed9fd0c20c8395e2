/** What an incoming webhook of Slack does: takes JSON and answers `ok`, or as a test says. */

import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { cleanUp } from './clean-up.ts';

export interface SlackAnswer {
  readonly status: number;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface SlackMessage {
  readonly text: string;
  readonly blocks: readonly { readonly text?: { readonly text: string } }[];
}

export class SlackReceiver {
  /** Those that were taken. */
  readonly messages: SlackMessage[] = [];
  /** How often anything was asked. */
  attempts = 0;
  /** Of the answers to come; then `ok`. */
  answers: SlackAnswer[] = [];
  url = '';

  async start(): Promise<this> {
    const server = http.createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        this.attempts++;
        const { status, body = 'ok', headers = {} } = this.answers.shift() ?? { status: 200 };
        const message = JSON.parse(Buffer.concat(chunks).toString('utf8')) as SlackMessage;
        if (status === 200) this.messages.push(message);
        response.writeHead(status, headers).end(body);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/services/T000/B000/SECRET`;
    cleanUp(() => {
      server.closeAllConnections();
      server.close();
    });
    return this;
  }
}
