/** Which frontend becomes the table, and the rules of it. */
import { suggestion } from '../config/nearest.ts';
import { Acls, type ReadCondition } from './conditions.ts';
import type { CriterionContext } from './criteria.ts';
import { dynamicTargets } from './dynamic.ts';
import { conjunction } from './logic.ts';
import { lastOf, type Proxies, type ProxySection, statementsOf, textsOf } from './proxies.ts';
import type { Report } from './report.ts';
import { type Step, stepOf } from './rows.ts';
import { parseSample, type Sample } from './sample.ts';
import type { Statement } from './statement.ts';
import type { Verdicts } from './verdict.ts';

/** Conditions at hand: files are read, variables and listeners known. */
export interface RuleContext extends Omit<CriterionContext, 'variable'> {
  readonly proxies: Proxies;
  readonly report: Report;
  readonly verdicts: Verdicts;
}

/** Name of the target where HAProxy finds no backend. */
export const NOWHERE = '';

/** Frontends that route requests, the one with most rules first. */
export function routingFrontends(proxies: Proxies): ProxySection[] {
  const weight = (proxy: ProxySection) =>
    statementsOf(proxy, 'use_backend').length * 2 +
    statementsOf(proxy, 'default_backend').length +
    (statementsOf(proxy, 'server').length > 0 ? 1 : 0) +
    (statementsOf(proxy, 'server-template').length > 0 ? 1 : 0);
  return [...proxies.frontends.values()]
    .map((proxy) => ({ proxy, rules: weight(proxy) }))
    .filter(({ rules }) => rules > 0)
    .sort((a, b) => b.rules - a.rules)
    .map(({ proxy }) => proxy);
}

/** ACLs of a proxy, with the variables that its rules set for every request. */
export function readAcls(proxy: ProxySection, context: RuleContext): Acls {
  const variables = readVariables(proxy);
  const acls = new Acls({ ...context, variable: (name) => variables.get(name) }, context.verdicts);
  for (const statement of statementsOf(proxy, 'acl')) {
    acls.define(statement);
    const why = acls.whyNot(statement);
    if (why === undefined) context.report.translated(statement);
    else context.report.unsupported(statement, why);
  }
  return acls;
}

function readVariables(proxy: ProxySection): ReadonlyMap<string, Sample> {
  const variables = new Map<string, Sample>();
  for (const statement of proxy.statements) {
    const [keyword, action = '', expression = '', condition] = textsOf(statement);
    const name = /^set-var\(([^,()]+)\)$/.exec(action)?.[1];
    if (keyword !== 'http-request' || name === undefined || condition !== undefined) continue;
    const sample = parseSample(expression);
    if (typeof sample !== 'string') variables.set(name, sample);
  }
  return variables;
}

/** The rules of a frontend in order, and where everything else goes. */
export function readSteps(
  proxy: ProxySection,
  acls: Acls,
  context: RuleContext,
): { readonly steps: readonly Step[]; readonly last: Step } {
  const { proxies, report, verdicts } = context;
  const useServers = new Map<string, readonly UseServer[]>();
  const expand = (step: Step): Step[] => {
    const { backend } = step.target;
    const target = proxies.backends.get(backend);
    if (target === undefined) return [step];
    const known =
      useServers.get(backend) ??
      readUseServers(target, target === proxy ? acls : readAcls(target, context), context);
    useServers.set(backend, known);
    const ahead = known.flatMap(({ condition, server, statement }) =>
      condition.choices.flatMap((choice): Step[] => {
        const term = conjunction(step.term, choice.term);
        if (term === undefined || choice.dice.length + choice.alive.length > 0) return [];
        return [{ ...step, term, target: { backend, server }, statement }];
      }),
    );
    return [...ahead, step];
  };
  const last = expand(lastStep(proxy, context));
  const steps: Step[] = [];
  for (const statement of statementsOf(proxy, 'use_backend')) {
    const [keyword, name, ...condition] = statement.words;
    if (name === undefined) {
      verdicts.refuse(statement, keyword!.column, "'use_backend' expects the name of a backend");
      continue;
    }
    if (condition.length > 0 && !['if', 'unless'].includes(condition[0]!.text)) {
      const message = `'use_backend ${name.text}' expects if or unless, not '${condition[0]!.text}'`;
      verdicts.refuse(statement, condition[0]!.column, message);
      continue;
    }
    const read = acls.read(statement, condition);
    if (read.why !== undefined) {
      report.unsupported(statement, `${read.why}; its requests go where the other rules send them`);
      continue;
    }
    for (const how of read.how) report.approximated(statement, how);
    report.translated(statement);
    if (name.text.includes('%['))
      steps.push(...dynamicSteps(statement, name.text, read, last.at(-1)!, proxy, context));
    else if (known(name.text, 'use_backend', statement, name.column, context)) {
      for (const choice of read.choices) {
        warnOfOtherGuards(choice.alive, name.text, statement, report);
        steps.push(stepOf(choice, { backend: name.text, server: undefined }, statement));
      }
    }
  }
  return { steps: [...steps.flatMap(expand), ...last.slice(0, -1)], last: last.at(-1)! };
}

function warnOfOtherGuards(
  alive: readonly { backend: string; alive: boolean }[],
  target: string,
  statement: Statement,
  report: Report,
): void {
  for (const guard of alive) {
    if (!guard.alive || guard.backend === target) continue;
    report.approximated(statement, `whether ${guard.backend} lives is not asked: it is taken to`);
  }
}

function known(
  name: string,
  keyword: string,
  statement: Statement,
  column: number,
  { proxies, verdicts }: RuleContext,
): boolean {
  if (proxies.backends.has(name)) return true;
  const near = suggestion(name, proxies.backends.keys(), 'backends');
  verdicts.refuse(statement, column, `unable to find required ${keyword}: '${name}'${near}`);
  return false;
}

function lastStep(proxy: ProxySection, context: RuleContext): Step {
  const always = { term: [], dice: [], alive: [] };
  const statement = lastOf(proxy, 'default_backend');
  for (const other of statementsOf(proxy, 'default_backend')) {
    context.report.translated(other, other === statement ? '' : 'a later one takes its place');
  }
  const name = statement?.words[1];
  if (statement !== undefined && name !== undefined) {
    const found = known(name.text, 'default_backend', statement, name.column, context);
    return stepOf(always, { backend: found ? name.text : NOWHERE, server: undefined }, statement);
  }
  const own =
    proxy.kind === 'listen' && proxy.statements.some(({ words }) => words[0]?.text.startsWith('server'));
  return stepOf(always, { backend: own ? proxy.name : NOWHERE, server: undefined }, proxy.head);
}

function dynamicSteps(
  statement: Statement,
  format: string,
  read: ReadCondition,
  last: Step,
  proxy: ProxySection,
  context: RuleContext,
): Step[] {
  const { proxies, report } = context;
  const variables = readVariables(proxy);
  const names = [...proxies.backends.keys()];
  const targets = dynamicTargets(format, names, { ...context, variable: (name) => variables.get(name) });
  if (typeof targets === 'string') {
    report.unsupported(statement, targets);
    return [];
  }
  if (targets.how !== undefined) report.approximated(statement, targets.how);
  const steps: Step[] = [];
  for (const choice of read.choices) {
    for (const { atom, backend } of targets.entries) {
      const term = conjunction(choice.term, atom === undefined ? [] : [{ atom, negated: false }]);
      if (term === undefined) continue;
      // A name that there is not ends the rules: the default takes the request.
      const target = proxies.backends.has(backend) ? { backend, server: undefined } : last.target;
      steps.push(stepOf({ ...choice, term }, target, statement));
    }
    steps.push(stepOf(choice, last.target, statement));
  }
  return steps;
}

interface UseServer {
  readonly statement: Statement;
  readonly server: string;
  readonly condition: ReadCondition;
}

function readUseServers(proxy: ProxySection, acls: Acls, { report, verdicts }: RuleContext): UseServer[] {
  const servers = new Set(statementsOf(proxy, 'server').map(({ words }) => words[1]?.text));
  return statementsOf(proxy, 'use-server').flatMap((statement) => {
    const [keyword, server, ...condition] = statement.words;
    if (server === undefined || !servers.has(server.text)) {
      const message = `unable to find server '${server?.text ?? ''}' in proxy '${proxy.name}' referenced in a 'use-server' rule`;
      verdicts.refuse(statement, (server ?? keyword!).column, message);
      return [];
    }
    const read = acls.read(statement, condition);
    if (read.why !== undefined || read.choices.some(({ dice, alive }) => dice.length + alive.length > 0)) {
      report.unsupported(statement, read.why ?? 'a server by chance; give it a weight');
      return [];
    }
    report.translated(statement, 'a row of its own');
    return [{ statement, server: server.text, condition: read }];
  });
}
