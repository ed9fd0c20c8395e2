/** Lines that need no translation, or have none: what stands in their place, or what to do. */
import { suggestion } from '../config/nearest.ts';
import { textsOf } from './proxies.ts';
import type { Fate, Report } from './report.ts';
import type { Section } from './sections.ts';
import type { Statement } from './statement.ts';
import type { Verdicts } from './verdict.ts';

type Entry = readonly [pattern: RegExp, fate: Fate, note: string];

const PROCESS = 'the container and Node.js decide this';
const LOG = 'one line of JSON for each request on standard output; see accessLog';
const STATUS = 'status, metrics and drain are on the admin port';

const GLOBAL: readonly Entry[] = [
  [/^log(-|\b)/, 'approximated', LOG],
  [/^stats\b/, 'approximated', STATUS],
  [
    /^(user|group|uid|gid|chroot|daemon|pidfile|nbthread|nbproc|cpu-map|thread-groups|master-worker|mworker-max-reloads|ulimit-n|node|description|localpeer|set-dumpable|unix-bind|insecure-fork-wanted|zero-warning|quiet|debug|strict-limits|busy-polling|numa-cpu-mapping|expose-experimental-directives|expose-deprecated-directives|harden\.\S+|limited-quic|cluster-secret|dns-accept-family)\b/,
    'translated',
    PROCESS,
  ],
  [/^(setenv|presetenv|unsetenv|resetenv)\b/, 'translated', 'taken into account while reading'],
  [
    /^(tune|profiling|no\s+(tune|poll|splice)|noepoll|nopoll|nosplice|noreuseport|nokqueue|noevports|nogetaddrinfo|max-spread-checks|spread-checks|close-spread-time|grace|hard-stop-after|maxconn|maxconnrate|maxsessrate|maxsslconn|maxsslrate|maxcompcpuusage|maxcomprate|maxpipes|maxzlibmem|default-path|h1-case-adjust\S*|server-state-\S+|load-server-state-from-file|anonkey|force-cfg-parser-pause|warn-blocked-traffic-after)\b/,
    'translated',
    PROCESS,
  ],
  [/^(ssl-|ca-base|crt-base|issuers-chain-path|tune\.ssl)/, 'translated', 'TLS is that of Node.js'],
  [/^lua-/, 'not supported', 'Lua; do it in the service'],
  [/^(51degrees|deviceatlas|wurfl)-/, 'not supported', 'device detection; do it in the service'],
  [/^external-check/, 'not supported', 'external checks; use an HTTP check'],
];

const PROXY: readonly Entry[] = [
  [/^(no\s+)?log(-|\b)/, 'approximated', LOG],
  [
    /^(no\s+|default\s+)?option\s+(httplog|tcplog|httpslog|dontlognull|dontlog-normal|log-health-checks|log-separate-errors|logasap)\b/,
    'approximated',
    LOG,
  ],
  [
    /^(no\s+|default\s+)?option\s+(redispatch|abortonclose|http-keep-alive|prefer-last-server|http-server-close|httpclose|http-pretend-keepalive|http-use-htx|http-no-delay|tcpka|clitcpka|srvtcpka|nolinger|splice-\S+|contstats|checkcache|independent-streams|socket-stats|http-ignore-probes|tcp-smart-\S+|h1-case-adjust-\S+|accept-invalid-http-\S+|accept-unsafe-violations-\S+|http-restrict-req-hdr-names|idle-close-on-response|disable-h2-upgrade|http-buffer-request|http-drop-\S+|allbackups|forwarded|originalto|persist|use-small-buffers|external-check)\b/,
    'translated',
    '',
  ],
  [/^stats\b/, 'approximated', STATUS],
  [
    /^(monitor-uri|monitor-net|monitor)\b/,
    'approximated',
    'probes are on the admin port: /livez and /readyz',
  ],
  [
    /^(errorfile|errorfiles|errorloc\d*|http-error|error-limit)\b/,
    'approximated',
    'answers of Pointsman have a body of their own, JSON or text, with a reason; pages cannot be given',
  ],
  [
    /^(description|id|guid|bind-process|disabled|enabled|unique-id-format|maxconn|fullconn|backlog|rate-limit|grace|dispatch|transparent|load-server-state-from-file|server-state-file-name|email-alert|hash-balance-factor|hash-preserve-affinity|retry-on|max-keep-alive-queue|max-session-srv-conns|http-reuse|capture|clitcpka\S*|srvtcpka\S*|source|ignore-persist|force-persist|declare|publish|unpublish)\b/,
    'approximated',
    '',
  ],
  [/^compression\b/, 'not supported', 'compression; let the service or what stands in front compress'],
  [
    /^(filter|cache|http-request cache-use|http-response cache-store)\b/,
    'not supported',
    'filters and caches; put one in front',
  ],
  [
    /^(tcp-request|tcp-response)\b/,
    'not supported',
    'rules on connections; let the network or what stands in front refuse them',
  ],
  [
    /^http-after-response\b/,
    'not supported',
    'changes of answers of our own; response rules are for those of upstreams',
  ],
  [/^redirect\b/, 'not supported', 'redirect in the service, or in front of Pointsman'],
  [
    /^(force-persist|ignore-persist|persist)\b/,
    'not supported',
    'exceptions from persistence; drain the backend',
  ],
  [
    /^(use-fcgi-app|option\s+(mysql|pgsql|redis|smtp|ldap|spop|ssl-hello)\S*)\b/,
    'not supported',
    'only HTTP and TCP checks and HTTP upstreams',
  ],
];

const NOTES: Readonly<Record<string, string>> = {
  maxconn: 'see limits.connections',
  'retry-on':
    'what cannot repeat an effect is sent again: failed connects always, resets before an answer for idempotent methods; see also shield',
  'http-reuse': 'connections are pooled by keepAlive and maxConnectionAge',
  capture: 'the access log has fields of its own',
  disabled: 'proxies that are disabled are imported all the same',
  'unique-id-format': 'ids have a form of their own; those of trusted peers are kept',
  'email-alert': 'alerts come from metrics, or from pointsman fleet',
};

const SECTIONS: Readonly<Record<string, readonly [Fate, string]>> = {
  userlist: ['approximated', 'passwords are asked for in the service, or in front of Pointsman'],
  peers: ['approximated', 'pins are shared through Redis: store: redis'],
  mailers: ['approximated', 'alerts come from metrics, or from pointsman fleet'],
  ring: ['approximated', LOG],
  'log-forward': ['not supported', 'forwarding of logs; leave it to the collector of the cluster'],
  'log-profile': ['approximated', LOG],
  traces: ['approximated', LOG],
  cache: ['not supported', 'caches; put one in front'],
  'http-errors': [
    'approximated',
    'answers of Pointsman have a body of their own, JSON or text, with a reason',
  ],
  program: ['not supported', 'programs beside the proxy; run them as containers of their own'],
  'fcgi-app': ['not supported', 'FastCGI; put an HTTP server in front of it'],
  acme: ['not supported', 'certificates; end TLS in front of Pointsman'],
  'crt-store': ['not supported', 'certificates; end TLS in front of Pointsman'],
  healthcheck: ['not supported', 'checks in sections of their own; write them in the backend'],
};

/** What others have read where it counts: here it is overridden, or nothing that is imported inherits it. */
const HANDLED: ReadonlySet<string> = new Set([
  'acl',
  'balance',
  'bind',
  'cookie',
  'default_backend',
  'default-server',
  'hash-type',
  'http-check',
  'http-request',
  'http-response',
  'mode',
  'option',
  'retries',
  'server',
  'server-template',
  'stick',
  'stick-table',
  'tcp-check',
  'timeout',
  'unique-id-header',
  'use_backend',
  'use-server',
]);

/** Keywords of proxies that HAProxy knows, for telling a misspelt word from one without translation. */
const KNOWN: readonly string[] = [
  'acl',
  'backlog',
  'balance',
  'bind',
  'capture',
  'compression',
  'cookie',
  'default_backend',
  'default-server',
  'description',
  'disabled',
  'enabled',
  'email-alert',
  'errorfile',
  'errorfiles',
  'errorloc',
  'errorloc302',
  'errorloc303',
  'filter',
  'fullconn',
  'guid',
  'hash-balance-factor',
  'hash-preserve-affinity',
  'hash-type',
  'http-after-response',
  'http-check',
  'http-error',
  'http-request',
  'http-response',
  'http-reuse',
  'http-send-name-header',
  'id',
  'ignore-persist',
  'force-persist',
  'load-server-state-from-file',
  'log',
  'log-format',
  'log-format-sd',
  'log-steps',
  'log-tag',
  'max-keep-alive-queue',
  'max-session-srv-conns',
  'maxconn',
  'mode',
  'monitor',
  'monitor-uri',
  'no',
  'default',
  'option',
  'persist',
  'rate-limit',
  'redirect',
  'retries',
  'retry-on',
  'server',
  'server-state-file-name',
  'server-template',
  'source',
  'stats',
  'stick',
  'stick-table',
  'tcp-check',
  'tcp-request',
  'tcp-response',
  'timeout',
  'transparent',
  'unique-id-format',
  'unique-id-header',
  'use_backend',
  'use-fcgi-app',
  'use-server',
  'dispatch',
  'external-check',
  'error-log-format',
  'clitcpka-cnt',
  'clitcpka-idle',
  'clitcpka-intvl',
  'srvtcpka-cnt',
  'srvtcpka-idle',
  'srvtcpka-intvl',
  'grace',
  'bind-process',
  'declare',
  'publish',
  'unpublish',
];

export function accountGlobal(section: Section, report: Report): void {
  report.translated(section.head);
  for (const statement of section.statements) {
    if (report.has(statement)) continue;
    if (!account(statement, GLOBAL, report)) {
      report.unsupported(statement, "is no setting known of HAProxy's process; nothing is done");
    }
  }
}

export function accountSection(section: Section, report: Report): void {
  const [fate, note] = SECTIONS[section.kind] ?? ['not supported', 'a section of this kind'];
  for (const statement of [section.head, ...section.statements]) {
    if (fate === 'approximated') report.approximated(statement, note);
    else report.unsupported(statement, note);
  }
}

/** What is left of the statements of a proxy, or of a defaults section. */
export function accountProxy(statements: readonly Statement[], report: Report, verdicts: Verdicts): void {
  for (const statement of statements) {
    const keyword = statement.words[0]!;
    if (!KNOWN.includes(keyword.text)) {
      const advice =
        keyword.text === '\\'
          ? '; a line cannot be continued on the next one'
          : suggestion(keyword.text, KNOWN, 'keywords');
      verdicts.refuse(statement, keyword.column, `unknown keyword '${keyword.text}'${advice}`);
      continue;
    }
    if (report.has(statement)) continue;
    if (account(statement, PROXY, report)) continue;
    if (HANDLED.has(keyword.text) || /^(no|default)$/.test(keyword.text)) {
      report.translated(statement, 'has no effect on what is imported');
    } else {
      report.unsupported(statement, `${keyword.text}: nothing in its place; check what it is for`);
    }
  }
}

function account(statement: Statement, entries: readonly Entry[], report: Report): boolean {
  const line = textsOf(statement).join(' ');
  const entry = entries.find(([pattern]) => pattern.test(line));
  if (entry === undefined) return false;
  const [, fate, ownNote] = entry;
  const note =
    ownNote === ''
      ? (NOTES[textsOf(statement)[0]!] ?? 'is the way of Pointsman, or has no effect there')
      : ownNote;
  if (fate === 'translated') report.translated(statement, note);
  else if (fate === 'approximated') report.approximated(statement, note);
  else report.unsupported(statement, note);
  return true;
}
