/** Values that header rules may refer to, for one request. */
import type { RuleContext } from '../http/header-rules.ts';
import type { Peer } from './peer.ts';
import type { RequestDescription } from './request-description.ts';
import type { LiveRoute, Snapshot } from './snapshot.ts';

/** @param index in the split, of the backend that serves */
export function ruleContext(
  snapshot: Snapshot,
  { route }: LiveRoute,
  index: number,
  head: RequestDescription,
  peer: Peer,
): RuleContext {
  return {
    clientAddress: snapshot.policy.needsClient ? head.facts.client : peer.address,
    clientPort: peer.port,
    requestId: head.requestId,
    method: head.facts.method,
    host: head.host,
    path: head.facts.path,
    route: route.name,
    backend: route.split.names[index] ?? '',
    service: snapshot.table.service,
    rawHeaders: head.facts.rawHeaders,
  };
}
