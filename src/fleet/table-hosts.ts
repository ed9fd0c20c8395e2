/** Which Services of the cluster a backend of a routing table leads to. */

import { isIP } from 'node:net';
import { type BackendConfig, serversOf } from '../config/schema.ts';

/** `namespace/name` of each server of the backend; undefined for one that is no Service of a cluster (an address, or SRV). */
export function tableHosts(backend: BackendConfig, namespace: string): (string | undefined)[] {
  return serversOf(backend).map(({ url: { host, srv } }) => {
    const bare = host.replace(/^\[|\]$/g, '').replace(/\.$/, '');
    if (srv || isIP(bare) !== 0) return undefined;
    const [name, inside, svc, ...domain] = bare.split('.');
    if (inside === undefined) return `${namespace}/${name}`;
    // Two labels may be SERVICE.NAMESPACE or a name of the world, such as example.com; the first is what proxies use.
    if (svc === undefined) return `${inside}/${name}`;
    if (svc !== 'svc' || (domain.length > 0 && domain.at(-1) !== 'local' && domain.length < 2))
      return undefined;
    return `${inside}/${name}`;
  });
}
