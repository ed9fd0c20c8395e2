/** Rules of rates between keys, which no schema can say. */
import { DEFAULT_GROUP, groupKey } from './groups.ts';
import { childOf, type LocatedMap, type LocatedNode, type LocatedScalar } from './located.ts';
import { suggestion } from './nearest.ts';
import { type Fault, type KeyPath, quote } from './problems.ts';

/** Each is looked up for every request. */
const MAX_RATES = 16;

export function rateRuleFaults(root: LocatedNode): Fault[] {
  const limits = childOf(root, 'limits');
  const rates = childOf(limits, 'rates');
  if (limits?.kind !== 'map' || rates?.kind !== 'map') return [];
  const faults: Fault[] = [];
  const path = ['limits', 'rates'];
  if (rates.entries.size > MAX_RATES) {
    const offset = limits.entries.get('rates')!.keyOffset;
    faults.push({
      offset,
      path,
      message: `must name at most ${MAX_RATES} rates, found ${rates.entries.size}`,
    });
  }
  const hasRedis = root.kind === 'map' && root.entries.has('redis');
  for (const [name, { value }] of rates.entries) {
    if (value.kind !== 'map') continue;
    faults.push(...pinFaults(root, value, [...path, name]), ...groupFaults(value, [...path, name]));
    const store = scalar(childOf(value, 'store'));
    if (store?.value === 'redis' && !hasRedis) {
      const message = 'store: redis needs the key redis with a url at the top level';
      faults.push({ offset: store.offset, path: [...path, name, 'store'], message });
    }
  }
  return faults;
}

function pinFaults(root: LocatedNode, rate: LocatedMap, path: KeyPath): Fault[] {
  const pin = scalar(childOf(childOf(rate, 'by'), 'pin'));
  const pins = childOf(root, 'pins');
  if (typeof pin?.value !== 'string') return [];
  const names = pins?.kind === 'map' ? [...pins.entries.keys()] : [];
  if (pins !== undefined && pins.kind !== 'map') return [];
  if (names.includes(pin.value)) return [];
  const message = `there is no pin ${quote(pin.value)}${suggestion(pin.value, names, 'pins')}`;
  return [{ offset: pin.offset, path: [...path, 'by', 'pin'], message }];
}

/** An empty name would match nothing. */
function groupFaults(rate: LocatedMap, path: KeyPath): Fault[] {
  const groups = childOf(rate, 'groups');
  const items = groups?.kind === 'list' ? groups.items : groups === undefined ? [] : [groups];
  return items.flatMap((item): Fault[] => {
    if (item.kind !== 'scalar' || typeof item.value !== 'string' || groupKey(item.value) !== '') return [];
    const message = `is empty; write ${DEFAULT_GROUP} for requests whose group no row names, or that have none`;
    return [{ offset: item.offset, path: [...path, 'groups'], message }];
  });
}

function scalar(node: LocatedNode | undefined): LocatedScalar | undefined {
  return node?.kind === 'scalar' ? node : undefined;
}
