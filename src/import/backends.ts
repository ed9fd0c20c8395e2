/** HAProxy's backends → backends of a configuration, and the weights among them. */
import type { ConfigInput } from '../config/schema.ts';
import { type HealthInput, healthOf, readCheck } from './checks.ts';
import { freeName, isTelling, stemOf } from './names.ts';
import { optionOf, type ProxySection, textsOf } from './proxies.ts';
import { writeDuration } from './quantities.ts';
import type { Report } from './report.ts';
import type { Server } from './servers.ts';
import type { Statement } from './statement.ts';

export type BackendInput = ConfigInput['backends'][string];

/** A backend of the configuration and its part of HAProxy's backend. */
export interface Member {
  readonly name: string;
  readonly weight: number;
}

export interface BuiltBackend {
  readonly input: BackendInput;
  readonly health: HealthInput;
  readonly statements: readonly Statement[];
}

/** Where HAProxy would answer 503: it has no upstream at all. */
const NOWHERE: BackendInput = { url: 'http://127.0.0.1:9', drain: true };

export class Backends {
  readonly #report: Report;
  readonly #built = new Map<string, BuiltBackend>();
  /** By what a backend is. */
  readonly #names = new Map<string, string>();

  constructor(report: Report) {
    this.#report = report;
  }

  get all(): ReadonlyMap<string, BuiltBackend> {
    return this.#built;
  }

  /**
   * @param hashes users are spread by a hash, so that every server must be a backend of its own
   * @param backup they stand behind others
   */
  membersOf(
    proxy: ProxySection,
    servers: readonly Server[],
    hashes: boolean,
    backup = false,
  ): readonly Member[] {
    const usable = servers.filter(({ url }) => url !== undefined);
    for (const server of servers) this.#account(server);
    if (usable.length === 0) return [this.#nowhere()];
    const check = readCheck(proxy, this.#report);
    this.#balance(proxy, usable, hashes);
    this.#backups(proxy, usable);
    if (usable.length > 1 && !hashes && isPool(proxy, usable, check)) {
      return [this.#pool(proxy, usable, check, backup)];
    }
    const members = usable.map((server) => this.#track(proxy, server, check, backup));
    if (members.every(({ weight }) => weight === 0)) {
      this.#report.approximated(
        proxy.head,
        'all weights are 0: HAProxy answers 503, and so does a backend that is drained',
      );
      return [this.#nowhere()];
    }
    return members;
  }

  /** One server of a backend on its own. */
  memberOf(proxy: ProxySection, server: Server): Member {
    this.#account(server);
    if (server.url === undefined) return this.#nowhere();
    return { ...this.#track(proxy, server, readCheck(proxy, this.#report), false), weight: 1 };
  }

  nowhere(): Member {
    return this.#nowhere();
  }

  #nowhere(): Member {
    return { name: this.#add('no-backend', NOWHERE, { enabled: false }, []), weight: 1 };
  }

  #account({ statement, options, template, url }: Server): void {
    this.#report.translated(statement);
    for (const how of options.how) this.#report.approximated(statement, how);
    for (const why of options.why) this.#report.unsupported(statement, why);
    if (template && url !== undefined && !url.startsWith('dns+srv')) {
      this.#report.approximated(statement, 'every address of the name is used, however many there are');
    }
    if (options.ssl && options.verify === 'none') {
      this.#report.unsupported(
        statement,
        'TLS without verifying the certificate; give the upstream a good one',
      );
    } else if (options.ssl && options.verify !== undefined && options.verify !== 'required') {
      this.#report.approximated(statement, `start Pointsman with NODE_EXTRA_CA_CERTS=${options.verify}`);
    }
    if (options.track !== undefined) {
      this.#report.translated(statement, 'equal upstreams are checked once, whoever uses them');
    }
  }

  #balance(proxy: ProxySection, servers: readonly Server[], hashes: boolean): void {
    const statement = proxy.statements.filter(({ words }) => words[0]?.text === 'balance').at(-1);
    if (statement === undefined) return;
    const algorithm = statement.words[1]?.text ?? 'roundrobin';
    if (hashes || /^(roundrobin|static-rr)$/.test(algorithm)) this.#report.translated(statement);
    else if (algorithm === 'leastconn' || algorithm.startsWith('random')) {
      if (servers.length === 1 || isPool(proxy, servers, {})) {
        this.#report.approximated(
          statement,
          algorithm === 'leastconn'
            ? 'the less busy of two picked at random, rather than the least busy of all'
            : 'at random by weight',
        );
      } else
        this.#report.approximated(statement, 'by weight in turn, since the servers are tracks of their own');
    } else if (servers.length === 1) this.#report.translated(statement, 'there is one server');
    else {
      const advice = 'servers take turns by weight; pin users by a header or a cookie to keep them on one';
      this.#report.unsupported(statement, `balance ${algorithm}: ${advice}`);
    }
  }

  #backups(proxy: ProxySection, servers: readonly Server[]): void {
    const option = optionOf(proxy, 'allbackups');
    if (option !== undefined) this.#report.translated(option);
    const backups = servers.filter(({ options }) => options.backup);
    if (backups.length < 2 || option !== undefined) return;
    for (const { statement } of backups.slice(1)) {
      this.#report.approximated(
        statement,
        'all backups share the load; HAProxy uses the first one that is up',
      );
    }
  }

  #pool(proxy: ProxySection, servers: readonly Server[], check: HealthInput, backup: boolean): Member {
    const [first] = servers;
    const input: BackendInput = {
      servers: servers.map(({ url, options }) => ({
        url: url!,
        ...(options.weight === 1 ? {} : { weight: options.weight }),
        ...(options.backup ? { backup: true } : {}),
        ...(options.disabled ? { drain: true } : {}),
      })),
      ...(backup ? { backup: true } : {}),
      ...balanceOf(proxy),
      ...settingsOf(first!),
    };
    const statements = [proxy.head, ...servers.map(({ statement }) => statement)];
    const name = this.#add(proxy.name, input, healthOf(proxy, check, first!.options), statements);
    for (const { statement } of servers) this.#report.translated(statement, `backends.${name}.servers`);
    return { name, weight: 1 };
  }

  #track(proxy: ProxySection, server: Server, check: HealthInput, backup: boolean): Member {
    const { name, url, options, statement } = server;
    const standsBehind = backup || options.backup;
    const input: BackendInput = {
      url: url!,
      ...(standsBehind ? { backup: true } : {}),
      ...(options.disabled ? { drain: true } : {}),
      ...(server.template ? balanceOf(proxy) : {}),
      ...settingsOf(server),
    };
    const health = healthOf(proxy, check, options);
    const own = proxy.name === name ? name : `${proxy.name}-${name}`;
    const single = proxy.statements.filter(({ words }) => words[0]?.text.startsWith('server')).length === 1;
    const wanted = isTelling(name) ? name : single ? proxy.name : own;
    const called = this.#add(backup ? `${wanted}-backup` : wanted, input, health, [statement], own);
    this.#report.translated(statement, `backends.${called}`);
    return { name: called, weight: options.weight };
  }

  /** @param otherwise the name when another backend has the wanted one */
  #add(
    wanted: string,
    input: BackendInput,
    health: HealthInput,
    statements: readonly Statement[],
    otherwise = wanted,
  ): string {
    const key = JSON.stringify([input, health]);
    const same = this.#names.get(key);
    if (same !== undefined) {
      const known = this.#built.get(same)!;
      this.#built.set(same, { ...known, statements: [...new Set([...known.statements, ...statements])] });
      return same;
    }
    const taken = (name: string) => this.#built.has(name);
    const first = freeName(wanted, () => false);
    const name = taken(first) ? freeName(otherwise, taken) : first;
    this.#built.set(name, { input, health, statements });
    this.#names.set(key, name);
    return name;
  }
}

function balanceOf(proxy: ProxySection): Pick<BackendInput, 'balance'> {
  const statement = proxy.statements.filter(({ words }) => words[0]?.text === 'balance').at(-1);
  const algorithm = statement === undefined ? '' : (textsOf(statement)[1] ?? '');
  if (algorithm === 'leastconn') return { balance: 'leastRequests' };
  return algorithm.startsWith('random') ? { balance: 'random' } : {};
}

function settingsOf({ options }: Server): Partial<BackendInput> {
  const { maxconn, maxqueue, slowstart } = options;
  return {
    ...(maxconn === 0 ? {} : { maxConnections: Math.min(1_000_000, maxconn) }),
    ...(maxqueue === 0 ? {} : { maxPending: Math.min(1_000_000, maxqueue) }),
    ...(slowstart === 0 ? {} : { slowStart: writeDuration(Math.min(3_600_000, slowstart)) }),
  };
}

/**
 * Servers that are replicas of one thing become one backend with a list; others stay tracks, each a backend, with
 * the weights in the split. Both send every server exactly its share; what differs is what metrics and pins tell apart.
 */
function isPool(proxy: ProxySection, servers: readonly Server[], check: HealthInput): boolean {
  const alike = (a: Server, b: Server) =>
    JSON.stringify([healthOf(proxy, check, a.options), settingsOf(a)]) ===
    JSON.stringify([healthOf(proxy, check, b.options), settingsOf(b)]);
  const [first, ...rest] = servers;
  if (!rest.every((server) => alike(first!, server))) return false;
  // Among servers that list endpoints by name, a template is a whole of its own.
  if (servers.some(({ template }) => template)) return false;
  if (servers.every(({ options }) => options.weight === 0 || options.backup)) return false;
  const main = servers.filter(({ options }) => !options.backup);
  if (balanceOf(proxy).balance !== undefined) return true;
  const [one, ...others] = main;
  return others.every(
    ({ name, options }) => options.weight === one!.options.weight && stemOf(name) === stemOf(one!.name),
  );
}
