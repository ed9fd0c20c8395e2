/** haproxy.cfg → a configuration, a report on every line, and what HAProxy itself would refuse. Pure. */
import type { ConfigInput } from '../config/schema.ts';
import { Backends } from './backends.ts';
import { commentsOf, printable } from './comments.ts';
import type { Acls } from './conditions.ts';
import { NOWHERE, type RuleContext, readAcls, readSteps, routingFrontends } from './frontends.ts';
import { fieldsOf, groupHeaderOf } from './group-header.ts';
import { HeaderEdits, readHeaderEdits } from './header-edits.ts';
import { healthParts } from './health-parts.ts';
import { accountGlobal, accountProxy, accountSection } from './leftovers.ts';
import { readListeners } from './listeners.ts';
import { configName } from './names.ts';
import { readPersistence } from './persistence.ts';
import { definedPins, pinsOf } from './pins.ts';
import { type Proxies, type ProxySection, readProxies } from './proxies.ts';
import { Report, type ReportLine } from './report.ts';
import { readResolvers } from './resolvers.ts';
import { type BackendPlan, type BuiltRoute, buildRoutes } from './routes.ts';
import { rowsOf } from './rows.ts';
import { parseFiles, type Section, type SourceFile } from './sections.ts';
import { readServers } from './servers.ts';
import { readSettings } from './settings.ts';
import { readTimeouts, routeTimeouts, timeoutsOf } from './timeouts.ts';
import { type Verdict, Verdicts } from './verdict.ts';
import { writeYaml } from './yaml.ts';

export interface ImportOptions {
  readonly files: readonly SourceFile[];
  /** Values in place of the environment's. */
  readonly defines: ReadonlyMap<string, string>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Lines of a pattern or map file; undefined when it cannot be read. */
  readonly readLines: (file: string) => readonly string[] | undefined;
  /** Name of the service; default: that of the frontend. */
  readonly service: string | undefined;
  /** The frontend to take over; default: the one with most rules. */
  readonly frontend: string | undefined;
}

export interface ImportResult {
  /** Undefined when HAProxy would refuse the files: then `verdicts` say why. */
  readonly yaml: string | undefined;
  readonly report: readonly ReportLine[];
  readonly verdicts: readonly Verdict[];
  /** What is to be known besides single lines. */
  readonly notes: readonly string[];
}

export function importHaproxy(options: ImportOptions): ImportResult {
  return new Importer(options).run();
}

class Importer {
  readonly #options: ImportOptions;
  readonly #verdicts = new Verdicts();
  readonly #report = new Report();
  readonly #notes: string[] = [];
  readonly #backends = new Backends(this.#report);

  constructor(options: ImportOptions) {
    this.#options = options;
  }

  run(): ImportResult {
    const { files, defines, environment } = this.#options;
    const parsed = parseFiles(files, defines, environment, this.#verdicts);
    for (const [statement, why] of parsed.idle) this.#report.translated(statement, why);
    for (const { file, line, variable } of parsed.unset) {
      this.#notes.push(
        `${file}:${line}: the variable ${variable} is not set and taken as empty; give --define ${variable}=…`,
      );
    }
    const proxies = readProxies(parsed.sections, this.#verdicts);
    const yaml = this.#convert(parsed.sections, proxies);
    this.#accountRest(parsed.sections);
    const verdicts = this.#verdicts.all;
    return {
      yaml: verdicts.length > 0 ? undefined : yaml,
      report: this.#report.lines(parsed.statements),
      verdicts,
      notes: this.#notes,
    };
  }

  #convert(sections: readonly Section[], proxies: Proxies): string | undefined {
    const frontend = this.#frontend(proxies);
    if (frontend === undefined) return undefined;
    const resolverSections = sections.filter(({ kind }) => kind === 'resolvers');
    const listeners = readListeners(frontend, this.#report, this.#verdicts);
    const context: RuleContext = {
      readLines: this.#options.readLines,
      bindPorts: listeners.ports,
      bindsTls: listeners.tls,
      proxies,
      report: this.#report,
      verdicts: this.#verdicts,
    };
    const acls = readAcls(frontend, context);
    const { steps, last } = readSteps(frontend, acls, context);
    const found = rowsOf(steps, last);
    if (found === undefined) {
      this.#verdicts.refuse(
        frontend.head,
        1,
        'these rules would become more than 500 rows; split the frontend',
      );
      return undefined;
    }
    const rows = found;
    const used = [
      ...new Set(rows.flatMap(({ shares }) => shares.map(({ target }) => target.backend))),
    ].filter((name) => name !== NOWHERE);
    const usedProxies = used.map((name) => proxies.backends.get(name)!);
    this.#setAside(proxies, frontend, usedProxies);
    const groupHeader = groupHeaderOf(rows);
    const routedBy = fieldsOf(rows);
    const frontendTimeouts = readTimeouts(frontend, this.#report, this.#verdicts);
    const backendTimeouts = new Map(
      usedProxies.map((proxy) => [proxy.name, readTimeouts(proxy, this.#report, this.#verdicts)]),
    );
    const timeouts = timeoutsOf(frontendTimeouts, [...backendTimeouts.values()], (what) => {
      this.#report.approximated(frontend.head, what);
    });
    const settings = readSettings(frontend, usedProxies, this.#report, this.#verdicts);
    const resolverNames = new Set(resolverSections.map(({ name }) => name));
    const plans = new Map<string, BackendPlan>();
    for (const proxy of usedProxies) {
      plans.set(proxy.name, {
        proxy,
        servers: readServers(proxy, {
          resolvers: resolverNames,
          bindPort: new Set(listeners.ports).size === 1 ? listeners.ports[0] : undefined,
          verdicts: this.#verdicts,
          onDefaults: (statement, { how, why }) => {
            this.#report.translated(statement, 'holds for the servers that follow');
            for (const text of how) this.#report.approximated(statement, text);
            for (const text of why) this.#report.unsupported(statement, text);
          },
        }),
        persistence: readPersistence(proxy, proxies.backends, this.#report),
        ...this.#edits(frontend, proxy, acls, context, routedBy),
        timeouts: routeTimeouts(backendTimeouts.get(proxy.name)!, frontendTimeouts, timeouts),
      });
    }
    if (this.#verdicts.all.length > 0) return undefined;
    const pins = pinsOf(plans);
    const routes = buildRoutes(
      rows,
      plans,
      this.#backends,
      proxies,
      (name) => pins.names.get(name),
      groupHeader,
      this.#report,
    );
    this.#explainRows(routes);
    const usedResolvers = new Set(
      [...plans.values()].flatMap(({ servers }) => servers.flatMap(({ options }) => options.resolvers ?? [])),
    );
    const resolver = readResolvers(resolverSections, usedResolvers, this.#report, this.#verdicts);
    const observes = [...plans.values()].some(({ servers }) =>
      servers.some((server) => server.options.observes),
    );
    const built = this.#backends.all;
    const { common, own } = healthParts([...built.entries()]);
    const pinUses = new Set(routes.map(({ route }) => route.pin));
    const config: ConfigInput = {
      service: configName(this.#options.service ?? frontend.name),
      ...(listeners.listen === undefined ? {} : { listen: listeners.listen }),
      ...(groupHeader === undefined ? {} : { groupHeader }),
      ambiguousGroup: 'any',
      backends: Object.fromEntries(
        [...built].map(([name, { input }]) => {
          const health = own.get(name);
          return [name, { ...input, ...(health === undefined ? {} : { health }), panicThreshold: 0 }];
        }),
      ),
      routes: routes.map(({ route }) => route),
      health: common,
      ...(observes ? {} : { outlier: { enabled: false } }),
      ...definedPins(pins.inputs, pinUses),
      ...(resolver === undefined ? {} : { resolver }),
      forwarding: settings.forwarding,
      ...(Object.keys(timeouts).length === 0 ? {} : { timeouts }),
      ...(settings.retries === undefined ? {} : { retries: settings.retries }),
      ...(settings.limits === undefined ? {} : { limits: settings.limits }),
    };
    return writeYaml(config, commentsOf(routes, built, groupHeader), [
      `Imported by pointsman import from ${this.#options.files.map(({ name }) => printable(name)).join(', ')}, frontend ${printable(frontend.name)}.`,
      'As HAProxy does, it passes every failure of a canary on, ejects and panics never, and takes any of several groups:',
      'shield, outlier, panicThreshold and ambiguousGroup are the keys to do better.',
    ]);
  }

  #frontend(proxies: Proxies): ProxySection | undefined {
    const { frontend: wanted, files } = this.#options;
    const candidates = routingFrontends(proxies);
    const chosen = wanted === undefined ? candidates[0] : proxies.frontends.get(wanted);
    if (chosen !== undefined) return chosen;
    const names = [...proxies.frontends.keys()].join(', ') || 'none';
    const message =
      wanted === undefined
        ? `has no frontend or listen that routes requests (frontends: ${names})`
        : `has no frontend '${wanted}' (there are: ${names})`;
    this.#verdicts.refuse({ file: files[0]?.name ?? '', line: 1 }, 1, message);
    return undefined;
  }

  /** Proxies that are not part of the table. */
  #setAside(proxies: Proxies, frontend: ProxySection, used: readonly ProxySection[]): void {
    const routing = routingFrontends(proxies);
    this.#report.translated(frontend.head);
    for (const proxy of used) this.#report.translated(proxy.head);
    for (const proxy of proxies.all) {
      if (proxy === frontend || used.includes(proxy)) continue;
      // Its rules are read all the same, for what HAProxy would refuse.
      for (const statement of [proxy.head, ...proxy.own]) {
        if (proxy.kind === 'backend') {
          this.#report.translated(
            statement,
            `no rule of frontend ${frontend.name} leads to backend ${proxy.name}`,
          );
        } else if (routing.includes(proxy)) {
          const how = `a table serves one frontend; import this one by itself with --frontend ${proxy.name}`;
          this.#report.unsupported(statement, how);
        } else {
          this.#report.approximated(statement, 'status, metrics, probes and drain are on the admin port');
        }
      }
      this.#checkAside(proxy, proxies);
    }
  }

  #checkAside(proxy: ProxySection, proxies: Proxies): void {
    const scratch = new Report();
    const context: RuleContext = {
      readLines: this.#options.readLines,
      bindPorts: [],
      bindsTls: false,
      proxies,
      report: scratch,
      verdicts: this.#verdicts,
    };
    const acls = readAcls(proxy, context);
    if (proxy.kind !== 'backend') readSteps(proxy, acls, context);
    readTimeouts(proxy, scratch, this.#verdicts);
  }

  #edits(
    frontend: ProxySection,
    proxy: ProxySection,
    acls: Acls,
    context: RuleContext,
    routedBy: ReadonlySet<string>,
  ): Pick<BackendPlan, 'request' | 'response'> {
    const request = new HeaderEdits();
    const response = new HeaderEdits();
    readHeaderEdits(frontend, 'http-request', request, acls, routedBy, this.#report);
    readHeaderEdits(frontend, 'http-response', response, acls, routedBy, this.#report);
    if (proxy !== frontend) {
      const own = readAcls(proxy, context);
      readHeaderEdits(proxy, 'http-request', request, own, routedBy, this.#report);
      readHeaderEdits(proxy, 'http-response', response, own, routedBy, this.#report);
    }
    return { request: request.rules(), response: response.rules() };
  }

  #explainRows(routes: readonly BuiltRoute[]): void {
    for (const { route, statements } of routes) {
      for (const statement of statements) {
        if (/^(use_backend|default_backend|use-server)$/.test(statement.words[0]!.text)) {
          this.#report.translated(statement, `routes: ${route.name}`);
        }
      }
    }
  }

  #accountRest(sections: readonly Section[]): void {
    for (const section of sections) {
      switch (section.kind) {
        case 'global':
          accountGlobal(section, this.#report);
          break;
        case 'defaults':
        case 'frontend':
        case 'backend':
        case 'listen':
          this.#report.translated(section.head);
          accountProxy(section.statements, this.#report, this.#verdicts);
          break;
        case 'resolvers':
          if (!this.#report.has(section.head)) this.#report.translated(section.head, UNUSED);
          for (const statement of section.statements) {
            if (!this.#report.has(statement))
              this.#report.translated(statement, 'see the head of its section');
          }
          break;
        default:
          accountSection(section, this.#report);
      }
    }
  }
}

const UNUSED = 'no server of the imported backends uses it';
