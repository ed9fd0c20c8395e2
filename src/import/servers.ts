/** The servers of a backend. */
import { isIP } from 'node:net';
import { type ProxySection, textsOf } from './proxies.ts';
import { parseCount } from './quantities.ts';
import { applyOptions, copyOptions, initialOptions, type ServerOptions } from './server-options.ts';
import type { Statement } from './statement.ts';
import type { Verdicts } from './verdict.ts';

export interface Server {
  readonly name: string;
  readonly statement: Statement;
  /** As the configuration writes it; undefined when it cannot be reached over TCP. */
  readonly url: string | undefined;
  readonly options: ServerOptions;
  /** From a server-template: every address that the name has. */
  readonly template: boolean;
}

export interface ServerContext {
  readonly resolvers: ReadonlySet<string>;
  /** The port of the frontend, when it has a single one. */
  readonly bindPort: number | undefined;
  readonly verdicts: Verdicts;
  /** Told of each default-server line, with what it adds. */
  readonly onDefaults: (statement: Statement, options: ServerOptions) => void;
}

export function readServers(proxy: ProxySection, context: ServerContext): readonly Server[] {
  const { verdicts } = context;
  let defaults = initialOptions();
  const servers = new Map<string, Server>();
  for (const statement of proxy.statements) {
    const [keyword, name, ...rest] = statement.words;
    if (keyword?.text === 'default-server') {
      defaults = copyOptions(defaults);
      defaults.how.length = 0;
      defaults.why.length = 0;
      applyOptions(defaults, statement.words.slice(1), statement, verdicts);
      context.onDefaults(statement, defaults);
      continue;
    }
    if (keyword?.text !== 'server' && keyword?.text !== 'server-template') continue;
    const template = keyword.text === 'server-template';
    if (template) rest.shift();
    const address = rest.shift();
    if (name === undefined || address === undefined) {
      const wants = template ? 'a prefix, a number and a name' : 'a name and an address';
      verdicts.refuse(statement, keyword.column, `'${keyword.text}' expects ${wants}`);
      continue;
    }
    const first = servers.get(name.text);
    if (first !== undefined) {
      const message = `backend '${proxy.name}', another server named '${name.text}' was already defined at line ${first.statement.line}, please use distinct names`;
      verdicts.refuse(statement, name.column, message);
      continue;
    }
    const options = copyOptions(defaults);
    applyOptions(options, rest, statement, verdicts);
    if (options.resolvers !== undefined && !context.resolvers.has(options.resolvers)) {
      const { column } = rest.find(({ text }) => text === options.resolvers) ?? keyword;
      const message = `backend '${proxy.name}', server '${name.text}': unable to find required resolvers '${options.resolvers}'`;
      verdicts.refuse(statement, column, message);
    }
    const target = parseTarget(address.text, options.ssl, context.bindPort);
    if (target.why !== undefined) options.why.push(target.why);
    if (target.noPort && options.check && options.checkPort === undefined) {
      const message = `server '${name.text}' has neither service port nor check port nor tcp_check rule 'connect' with port information`;
      verdicts.refuse(statement, address.column, message);
    }
    servers.set(name.text, { name: name.text, statement, url: target.url, options, template });
  }
  return [...servers.values()];
}

/** What each kind of line says about servers without being one. */
export function isServerLine(statement: Statement): boolean {
  return ['server', 'server-template', 'default-server'].includes(textsOf(statement)[0] ?? '');
}

interface ParsedTarget {
  readonly url: string | undefined;
  readonly why: string | undefined;
  readonly noPort: boolean;
}

function parseTarget(address: string, tls: boolean, bindPort: number | undefined): ParsedTarget {
  const refuse = (why: string): ParsedTarget => ({ url: undefined, why, noPort: false });
  const text = address.replace(/^(ipv4|ipv6|tcp|tcp4|tcp6)@/, '');
  if (text.startsWith('/') || /^(unix|abns|abnsz|fd|sockpair|quic[46]?|uxst)@/.test(text)) {
    return refuse('an upstream that is no TCP address; let it listen on a port');
  }
  const srv = /^_[A-Za-z0-9-]+\._tcp\./.test(text);
  if (srv) {
    const name = text.replace(/:\d+$/, '');
    return { url: `${tls ? 'dns+srvs' : 'dns+srv'}://${name}`, why: undefined, noPort: false };
  }
  const { host, port: written } = splitAddress(text);
  const scheme = tls ? 'https' : 'http';
  if (host === '' || host === '*') return refuse('an upstream without an address');
  if (isIP(host) === 0 && !/^[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?$/.test(host)) {
    return refuse(`'${host}' as the name of an upstream`);
  }
  let port = written === undefined ? undefined : parseCount(written.replace(/^[+-]/, ''));
  if (written === undefined) port = bindPort;
  else if (/^[+-]/.test(written) && port !== undefined && bindPort !== undefined) {
    port = bindPort + (written.startsWith('-') ? -port : port);
  } else if (/^[+-]/.test(written)) port = undefined;
  const noPort = written === undefined;
  if (port === undefined || port < 1 || port > 65_535) {
    return { ...refuse("the client's own port as that of the upstream; write the port"), noPort };
  }
  return { url: `${scheme}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`, why: undefined, noPort };
}

function splitAddress(text: string): { host: string; port: string | undefined } {
  const bracketed = /^\[([^\]]+)\](?::(.*))?$/.exec(text);
  if (bracketed !== null) return { host: bracketed[1]!, port: bracketed[2] };
  const colon = text.lastIndexOf(':');
  if (colon === -1) return { host: text, port: undefined };
  return { host: text.slice(0, colon), port: text.slice(colon + 1) };
}
