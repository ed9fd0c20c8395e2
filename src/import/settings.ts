/** Settings of a frontend and its backends that are not timeouts: mode, fields that are added, retries, limits. */

import { FRAMING_FIELDS } from '../config/schema/header-rules.ts';
import type { ConfigInput } from '../config/schema.ts';
import { lastOf, optionOf, type ProxySection, statementsOf, textsOf } from './proxies.ts';
import { parseCount } from './quantities.ts';
import type { Report } from './report.ts';
import type { Verdicts } from './verdict.ts';

export interface Settings {
  readonly forwarding: NonNullable<ConfigInput['forwarding']>;
  readonly retries: ConfigInput['retries'];
  readonly limits: ConfigInput['limits'];
}

const MODES: ReadonlySet<string> = new Set(['http', 'tcp', 'health', 'haterm', 'log', 'spop']);

export function readSettings(
  frontend: ProxySection,
  backends: readonly ProxySection[],
  report: Report,
  verdicts: Verdicts,
): Settings {
  const all = [frontend, ...backends];
  for (const proxy of all) readMode(proxy, report, verdicts);
  return {
    forwarding: readForwarding(frontend, all, report),
    retries: readRetries(backends, report, verdicts),
    limits: readLimits(frontend, report),
  };
}

function readMode(proxy: ProxySection, report: Report, verdicts: Verdicts): void {
  const statement = lastOf(proxy, 'mode');
  if (statement === undefined) {
    report.approximated(
      proxy.head,
      'no mode is set, so HAProxy speaks TCP here and rules on fields never match; HTTP is taken to be meant',
    );
    return;
  }
  const mode = textsOf(statement)[1] ?? '';
  for (const one of statementsOf(proxy, 'mode')) report.translated(one);
  if (!MODES.has(mode)) {
    verdicts.refuse(
      statement,
      statement.words[1]?.column ?? 1,
      `unknown proxy mode '${mode}'; there are http and tcp`,
    );
  } else if (mode !== 'http') {
    report.approximated(statement, `HTTP is spoken, not ${mode}: what is no HTTP is refused`);
  }
}

function readForwarding(
  frontend: ProxySection,
  all: readonly ProxySection[],
  report: Report,
): Settings['forwarding'] {
  const used = all.map((proxy) => optionOf(proxy, 'forwardfor')).filter((option) => option !== undefined);
  for (const option of new Set(used)) {
    const words = textsOf(option).slice(2);
    report.approximated(
      option,
      'X-Forwarded-Proto and -Host are sent too, and what peers outside of trust.cidrs say there is not passed on',
    );
    const header = words[words.indexOf('header') + 1];
    if (words.includes('header') && header?.toLowerCase() !== 'x-forwarded-for') {
      report.unsupported(
        option,
        `the field ${header} for the address; add a request rule with %{client.address}`,
      );
    }
    if (words.includes('except'))
      report.approximated(option, 'the address is added for every peer, of the excepted network too');
  }
  const id = lastOf(frontend, 'unique-id-header');
  const name = id === undefined ? undefined : textsOf(id)[1];
  if (
    id !== undefined &&
    name !== undefined &&
    /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/.test(name) &&
    !FRAMING_FIELDS.has(name.toLowerCase())
  ) {
    report.translated(id, 'forwarding.requestId; the id has a form of its own');
  }
  return {
    xForwarded: used.length > 0,
    via: '',
    ...(name === undefined || FRAMING_FIELDS.has(name.toLowerCase()) ? {} : { requestId: name }),
  };
}

function readRetries(
  backends: readonly ProxySection[],
  report: Report,
  verdicts: Verdicts,
): Settings['retries'] {
  const counts = new Set<number>();
  for (const proxy of backends) {
    const statement = lastOf(proxy, 'retries');
    if (statement === undefined) continue;
    const count = parseCount(textsOf(statement)[1] ?? '');
    if (count === undefined) {
      const at = statement.words[1]?.column ?? statement.words[0]!.column;
      verdicts.refuse(statement, at, "'retries' expects a whole number");
      continue;
    }
    for (const one of statementsOf(proxy, 'retries')) {
      if (count > 10) report.approximated(one, 'ten retries at most');
      else report.translated(one, 'at once and on another endpoint, within the budget of retries.budget');
    }
    counts.add(Math.min(10, count));
  }
  if (counts.size === 0) return undefined;
  return { attempts: Math.max(...counts) };
}

function readLimits(frontend: ProxySection, report: Report): Settings['limits'] {
  const statement = lastOf(frontend, 'maxconn');
  const count = statement === undefined ? undefined : parseCount(textsOf(statement)[1] ?? '');
  if (statement === undefined || count === undefined || count === 0) return undefined;
  report.approximated(
    statement,
    'per worker; connections beyond it are closed at once, where HAProxy lets them wait',
  );
  return { connections: Math.min(1_000_000, count) };
}
