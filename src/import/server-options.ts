/** The options of `server`, `server-template` and `default-server` lines. */
import { suggestion } from '../config/nearest.ts';
import type { Word } from './lexer.ts';
import { parseCount, parseTime } from './quantities.ts';
import type { Statement } from './statement.ts';
import type { Verdicts } from './verdict.ts';

export interface ServerOptions {
  weight: number;
  check: boolean;
  backup: boolean;
  disabled: boolean;
  /** Milliseconds. */
  inter: number;
  fastinter: number | undefined;
  downinter: number | undefined;
  rise: number;
  fall: number;
  checkPort: number | undefined;
  slowstart: number;
  maxconn: number;
  maxqueue: number;
  ssl: boolean;
  /** `verify none`, or a CA of its own: what the certificate is held to. */
  verify: string | undefined;
  resolvers: string | undefined;
  cookie: string | undefined;
  track: string | undefined;
  observes: boolean;
  /** In what the result differs, and what is not possible. */
  readonly how: string[];
  readonly why: string[];
}

export function initialOptions(): ServerOptions {
  return {
    weight: 1,
    check: false,
    backup: false,
    disabled: false,
    inter: 2_000,
    fastinter: undefined,
    downinter: undefined,
    rise: 2,
    fall: 3,
    checkPort: undefined,
    slowstart: 0,
    maxconn: 0,
    maxqueue: 0,
    ssl: false,
    verify: undefined,
    resolvers: undefined,
    cookie: undefined,
    track: undefined,
    observes: false,
    how: [],
    why: [],
  };
}

export function copyOptions(options: ServerOptions): ServerOptions {
  return { ...options, how: [...options.how], why: [...options.why] };
}

type Apply = (options: ServerOptions, argument: string) => string | undefined;

const flag =
  (set: (options: ServerOptions) => void): Apply =>
  (options) => {
    set(options);
    return undefined;
  };
const how = (text: string): Apply => flag((options) => options.how.push(text));
const why = (text: string): Apply => flag((options) => options.why.push(text));
const ignored: Apply = () => undefined;

function time(name: string, set: (options: ServerOptions, ms: number) => void, least = 1): Apply {
  return (options, argument) => {
    const ms = parseTime(argument);
    if (ms === undefined) return `'${name}' expects a time such as 500ms or 2s, not '${argument}'`;
    if (ms < least) return `invalid value ${argument} for argument '${name}': it must be above 0`;
    set(options, ms);
    return undefined;
  };
}

function count(
  name: string,
  min: number,
  max: number,
  set: (options: ServerOptions, value: number) => void,
): Apply {
  return (options, argument) => {
    const value = parseCount(argument);
    if (value === undefined || value < min || value > max) {
      return `'${name}' expects a whole number from ${min} to ${max}, not '${argument}'`;
    }
    set(options, value);
    return undefined;
  };
}

const HIGH = 100_000_000;

/** Options without an argument. */
const FLAGS: Readonly<Record<string, Apply>> = {
  check: flag((options) => (options.check = true)),
  'no-check': flag((options) => (options.check = false)),
  backup: flag((options) => (options.backup = true)),
  'no-backup': flag((options) => (options.backup = false)),
  disabled: flag((options) => (options.disabled = true)),
  enabled: flag((options) => (options.disabled = false)),
  ssl: flag((options) => (options.ssl = true)),
  'no-ssl': flag((options) => (options.ssl = false)),
  'check-ssl': how('checks speak TLS exactly where traffic does'),
  'no-check-ssl': ignored,
  'send-proxy': why('the PROXY protocol; the client address is in X-Forwarded-For'),
  'send-proxy-v2': why('the PROXY protocol; the client address is in X-Forwarded-For'),
  'check-send-proxy': why('checks with the PROXY protocol'),
  'agent-check': why('agent checks; drain backends in the configuration instead'),
  'non-stick': how('pins remember every backend alike'),
  stick: ignored,
  tfo: how('TCP Fast Open is not used'),
  'no-tfo': ignored,
  'no-send-proxy': ignored,
  'no-agent-check': ignored,
  'no-verifyhost': ignored,
  'tls-tickets': ignored,
  'no-tls-tickets': ignored,
  'ssl-reuse': ignored,
  'no-ssl-reuse': ignored,
  'no-sslv3': ignored,
  'no-tlsv10': ignored,
  'no-tlsv11': ignored,
  'force-tlsv12': ignored,
  'force-tlsv13': ignored,
};

/** Options with one argument. */
const VALUES: Readonly<Record<string, Apply>> = {
  weight: (options, argument) => {
    const value = parseCount(argument);
    if (value === undefined || value > 256) return `weight of a server is not within 0 and 256 (${argument})`;
    options.weight = value;
    return undefined;
  },
  inter: time('inter', (options, ms) => (options.inter = ms)),
  fastinter: time('fastinter', (options, ms) => (options.fastinter = ms)),
  downinter: time('downinter', (options, ms) => (options.downinter = ms)),
  rise: count('rise', 1, HIGH, (options, value) => (options.rise = value)),
  fall: count('fall', 1, HIGH, (options, value) => (options.fall = value)),
  port: count('port', 1, 65_535, (options, value) => (options.checkPort = value)),
  slowstart: time('slowstart', (options, ms) => (options.slowstart = ms), 0),
  maxconn: count('maxconn', 0, HIGH, (options, value) => (options.maxconn = value)),
  maxqueue: count('maxqueue', 0, HIGH, (options, value) => (options.maxqueue = value)),
  minconn: how('the limit is maxconn at all times'),
  resolvers: (options, argument) => {
    options.resolvers = argument;
    return undefined;
  },
  cookie: (options, argument) => {
    options.cookie = argument;
    return undefined;
  },
  track: (options, argument) => {
    options.track = argument;
    return undefined;
  },
  observe: (options) => {
    options.observes = true;
    options.how.push('failing traffic ejects an endpoint for a time, by the key outlier');
    return undefined;
  },
  verify: (options, argument) => {
    options.verify = argument;
    return undefined;
  },
  'ca-file': (options, argument) => {
    options.verify = argument;
    return undefined;
  },
  addr: why('checks of another address; check the port alone, or the backend itself'),
  source: why('a source address for upstream connections'),
  sni: how("the server name of TLS is the upstream's own"),
  'check-sni': how("the server name of TLS is the upstream's own"),
  crt: why('client certificates'),
  proto: why('a protocol other than HTTP/1.1 to the upstream'),
  'check-proto': why('a protocol other than HTTP/1.1 in checks'),
  alpn: how('HTTP/1.1 is spoken to upstreams'),
  'check-alpn': how('HTTP/1.1 is spoken to upstreams'),
  redir: why('redirects of a server; let the upstream redirect'),
  namespace: why('network namespaces'),
  'on-error': how('failing traffic ejects an endpoint for a time, by the key outlier'),
  'error-limit': how('failing traffic ejects an endpoint for a time, by the key outlier'),
  'on-marked-down': how('what is under way on an endpoint that goes down ends by itself or by its timeouts'),
  'on-marked-up': how('nothing is cut when an endpoint comes back'),
  'init-addr': how('a name that does not resolve never stops the start'),
  'init-state': how('endpoints are checked at once at the start'),
  'resolve-prefer': how('the family of addresses is set for all names, by resolver.family'),
  'resolve-opts': how('addresses of a name are used as they are'),
  'resolve-net': how('addresses of a name are used as they are'),
  id: ignored,
  guid: ignored,
  shard: ignored,
  'pool-max-conn': how('connections are pooled by keepAlive and maxConnectionAge'),
  'pool-low-conn': ignored,
  'pool-purge-delay': how('connections are pooled by keepAlive and maxConnectionAge'),
  'max-reuse': how('connections are pooled by keepAlive and maxConnectionAge'),
  'agent-port': ignored,
  'agent-inter': ignored,
  'agent-addr': ignored,
  'agent-send': ignored,
  'tcp-ut': how("the timeout of unacknowledged data is the system's"),
  ciphers: how('ciphers are those of Node.js'),
  ciphersuites: how('ciphers are those of Node.js'),
  'ssl-min-ver': how('TLS versions are those of Node.js'),
  'ssl-max-ver': how('TLS versions are those of Node.js'),
  verifyhost: how('the certificate is held to the host of the URL'),
  'crl-file': why('revocation lists'),
  ws: ignored,
};

const KNOWN = [...Object.keys(FLAGS), ...Object.keys(VALUES)];

/** @param words behind the name and address */
export function applyOptions(
  options: ServerOptions,
  words: readonly Word[],
  statement: Statement,
  verdicts: Verdicts,
): void {
  for (let at = 0; at < words.length; at++) {
    const { text, column } = words[at]!;
    const set = Object.hasOwn(FLAGS, text) ? FLAGS[text] : undefined;
    if (set !== undefined) {
      set(options, '');
      continue;
    }
    const apply = Object.hasOwn(VALUES, text) ? VALUES[text] : undefined;
    if (apply === undefined) {
      const advice =
        text === 'if' || text === 'unless'
          ? '; a server takes no condition: write use-server NAME if … or use_backend NAME if …'
          : suggestion(text, KNOWN, 'options');
      verdicts.refuse(statement, column, `unknown keyword '${text}' of a server${advice}`);
      return;
    }
    const argument = words[++at];
    if (argument === undefined) {
      verdicts.refuse(statement, column, `'${text}' expects an argument`);
      return;
    }
    const fault = apply(options, argument.text);
    if (fault !== undefined) verdicts.refuse(statement, argument.column, fault);
  }
}
