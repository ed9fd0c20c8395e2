/** What a good table most likely does not mean, as far as groups and the order of buckets go. */
import { groupKey, listOf, promisedGroups } from './groups.ts';
import { keyOffsetOf, type LocatedNode, offsetOf } from './located.ts';
import { suggestion } from './nearest.ts';
import { type Fault, quote } from './problems.ts';
import type { Config } from './schema.ts';
import { setOf } from './sets.ts';
import { mainBackend, middleBackend } from './split-weights.ts';

export function tableWarnings(config: Config, root: LocatedNode): Fault[] {
  return [...unnamedGroups(config, root), ...doubtfulMiddles(config, root), ...mainMembers(config, root)];
}

/** A promise to a group that no row names is kept, but most likely the name is mistyped. */
function unnamedGroups(config: Config, root: LocatedNode): Fault[] {
  const unnamed = promisedGroups(config);
  if (unnamed.size === 0) return [];
  const known = config.routes.flatMap(({ match }) => listOf(match).flatMap(({ group }) => listOf(group)));
  const faults: Fault[] = [];
  for (const [index, { never, maxShare }] of config.invariants.entries()) {
    for (const [rule, written] of [
      ['never', never?.group],
      ['maxShare', maxShare?.group],
    ] as const) {
      for (const [i, group] of listOf(written).entries()) {
        if (!unnamed.has(groupKey(group))) continue;
        const path = ['invariants', index, rule, 'group', ...(typeof written === 'string' ? [] : [i])];
        const message = `no row names the group ${quote(group)}${suggestion(group, known, 'groups')}; the promise holds for it all the same, in the row that takes it`;
        faults.push({ offset: offsetOf(root, path), path, message });
      }
    }
  }
  return faults;
}

/** With three backends it matters which one lies between the other two, and only a person can say for good. */
function doubtfulMiddles(config: Config, root: LocatedNode): Fault[] {
  const faults: Fault[] = [];
  for (const [index, route] of config.routes.entries()) {
    const names = Object.keys(route.split);
    if (route.pin === undefined || route.main !== undefined || names.length !== 3) continue;
    const heaviest = names[mainBackend(route, config.backends)]!;
    const middle = names[middleBackend(route)]!;
    if (heaviest === middle) continue;
    const path = ['routes', index, 'split'];
    const message = `${middle} lies between the buckets of the other two, being the last by name, so that changing their weights moves its users; if ${heaviest} is the one that takes the rest, say main: ${heaviest}`;
    faults.push({ offset: keyOffsetOf(root, path), path, message });
  }
  return faults;
}

/** What a set loses goes to the main backend of each row, so a member that is one loses nothing. */
function mainMembers(config: Config, root: LocatedNode): Fault[] {
  const faults: Fault[] = [];
  for (const [index, route] of config.routes.entries()) {
    const names = Object.keys(route.split);
    const main = names[mainBackend(route, config.backends)]!;
    const set = setOf(config, main);
    if (names.length < 2 || set === undefined) continue;
    const others = names.filter((name) => name !== main).join(' or ');
    const message = `${main} is a member of the release set ${set.name} and the main backend of this row, so a brake of the set takes nothing from it; if it is the canary here, say main: ${others}`;
    const path = ['routes', index, 'split', main];
    faults.push({ offset: keyOffsetOf(root, path), path, message });
  }
  return faults;
}
