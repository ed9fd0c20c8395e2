/** `bind` lines → the address to listen on. */
import { isIP } from 'node:net';
import { type ProxySection, statementsOf } from './proxies.ts';
import type { Report } from './report.ts';
import type { Verdicts } from './verdict.ts';

export interface Listeners {
  /** As the configuration writes it; undefined when no bind can be taken over. */
  readonly listen: string | undefined;
  readonly ports: readonly number[];
  readonly tls: boolean;
}

const QUIET: ReadonlySet<string> = new Set([
  'v4v6',
  'v6only',
  'name',
  'id',
  'backlog',
  'tfo',
  'defer-accept',
  'transparent',
  'mss',
  'tcp-ut',
  'interface',
  'maxconn',
  'nice',
  'process',
  'thread',
  'shards',
  'user',
  'uid',
  'gid',
  'group',
  'mode',
  'level',
  'expose-fd',
  'guid',
  'nbconn',
]);

export function readListeners(proxy: ProxySection, report: Report, verdicts: Verdicts): Listeners {
  let listen: string | undefined;
  const ports: number[] = [];
  let tls = false;
  for (const statement of statementsOf(proxy, 'bind')) {
    const [keyword, addresses, ...options] = statement.words;
    if (addresses === undefined) {
      verdicts.refuse(statement, keyword!.column, "'bind' expects an address, such as :8080 or 10.0.0.1:80");
      continue;
    }
    report.translated(statement);
    const texts = options.map(({ text }) => text);
    const speaksTls = texts.includes('ssl');
    if (speaksTls) {
      tls = true;
      report.unsupported(
        statement,
        'TLS of clients; end it in front of Pointsman and send plain HTTP to listen',
      );
    }
    if (texts.includes('accept-proxy') || texts.includes('accept-netscaler-cip')) {
      report.unsupported(
        statement,
        'the PROXY protocol of clients; send X-Forwarded-For and name the peers in trust.cidrs',
      );
    }
    if (texts.includes('proto') || texts.includes('alpn'))
      report.approximated(statement, 'HTTP/1.1 is spoken');
    for (const { text } of options) {
      if (QUIET.has(text) && /^(interface|maxconn|nice|transparent)$/.test(text)) {
        report.approximated(statement, `${text} of a single address is left out`);
      }
    }
    for (const address of addresses.text.split(',')) {
      const parsed = parseAddress(address);
      if (parsed === undefined) {
        report.unsupported(statement, `'${address}' as an address to listen on; it must be IP:PORT`);
        continue;
      }
      ports.push(parsed.port);
      if (speaksTls) continue;
      if (listen === undefined) {
        listen = `${parsed.host}:${parsed.port}`;
        report.translated(statement, `listen: ${listen}`);
      } else if (listen !== `${parsed.host}:${parsed.port}`) {
        report.unsupported(
          statement,
          `a second address, ${address}; map its port to ${listen} in the Service`,
        );
      }
    }
  }
  return { listen, ports, tls };
}

function parseAddress(text: string): { host: string; port: number } | undefined {
  const bare = text.replace(/^(ipv4|ipv6|tcp|tcp4|tcp6)@/, '');
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]*|[0-9A-Fa-f:]*::?[0-9A-Fa-f:.]*)):(\d{1,5})$/.exec(bare);
  if (match === null) return undefined;
  const port = Number(match[3]);
  if (port < 1 || port > 65_535) return undefined;
  const host = match[1] ?? match[2] ?? '';
  if (host === '' || host === '*') return { host: '0.0.0.0', port };
  if (isIP(host) === 0) return host === 'localhost' ? { host: '127.0.0.1', port } : undefined;
  return { host: isIP(host) === 6 ? `[${host}]` : host, port };
}
