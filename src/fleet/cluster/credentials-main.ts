/** The process of `findCredentials`: one request as argument, one line of JSON on standard output. */

import { type Cluster, HttpMethod, KubeConfig, RequestContext, type User } from '@kubernetes/client-node';
import type { Credentials, CredentialsRequest } from './credentials.ts';

const text = (value: unknown): string | undefined =>
  typeof value === 'string'
    ? value
    : value instanceof Uint8Array
      ? new TextDecoder().decode(value)
      : undefined;

function load({ kubeconfig, context }: CredentialsRequest): {
  readonly kube: KubeConfig;
  readonly inCluster: boolean;
} {
  const kube = new KubeConfig();
  const { KUBECONFIG, KUBERNETES_SERVICE_HOST } = process.env;
  const inCluster = kubeconfig === null && !KUBECONFIG && KUBERNETES_SERVICE_HOST !== undefined;
  try {
    if (kubeconfig !== null) kube.loadFromFile(kubeconfig);
    else if (inCluster) kube.loadFromCluster();
    else kube.loadFromDefault();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const from = kubeconfig ?? KUBECONFIG ?? 'the kubeconfig';
    throw new Error(`${from}: ${code === 'ENOENT' ? 'there is no such file' : message.split('\n')[0]}`);
  }
  if (context !== null) {
    if (kube.getContextObject(context) === null) {
      const known = kube.getContexts().map(({ name }) => name);
      throw new Error(
        `there is no context "${context}" in the kubeconfig; there are: ${known.join(', ') || 'none'}`,
      );
    }
    kube.setCurrentContext(context);
  }
  return { kube, inCluster };
}

function tokenFileOf(user: User | null): string | undefined {
  const { authProvider } = (user ?? {}) as { authProvider?: { config?: { tokenFile?: string } } };
  return authProvider?.config?.tokenFile;
}

async function find(request: CredentialsRequest): Promise<Credentials> {
  const { kube, inCluster } = load(request);
  const cluster: Cluster | null = kube.getCurrentCluster();
  if (cluster === null)
    throw new Error('the kubeconfig names no cluster in its current context; choose one with --context');
  if (cluster.server.startsWith('http:') && !cluster.skipTLSVerify) {
    throw new Error(
      `${cluster.server} is plain http; set insecure-skip-tls-verify in the kubeconfig to allow that`,
    );
  }
  if (cluster.proxyUrl?.startsWith('socks'))
    throw new Error('proxy-url of the kubeconfig is a SOCKS proxy; only http and https ones are supported');
  const context = new RequestContext(cluster.server, HttpMethod.GET);
  await kube.applySecurityAuthentication(context);
  // The client keeps certificates to itself except here, where Node's own options are filled in.
  const tls: Record<string, unknown> = {};
  await kube.applyToHTTPSOptions(tls);
  const agent = ((tls['agent'] as { options?: Record<string, unknown> } | undefined)?.options ??
    {}) as Record<string, unknown>;
  const option = (name: string) => text(agent[name] ?? tls[name]);
  const unverified = cluster.skipTLSVerify === true ? { rejectUnauthorized: false } : {};
  const entries = ['ca', 'cert', 'key', 'passphrase', 'servername'].flatMap((name) => {
    const value = option(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  const tokenFile = tokenFileOf(kube.getCurrentUser());
  return {
    server: cluster.server.replace(/\/+$/, ''),
    cluster: inCluster ? 'cluster' : cluster.name,
    namespace: kube.getContextObject(kube.getCurrentContext())?.namespace ?? '',
    inCluster,
    headers: context.getHeaders() as Record<string, string>,
    tls: { ...Object.fromEntries(entries), ...unverified },
    ...(cluster.proxyUrl ? { proxy: cluster.proxyUrl } : {}),
    ...(tokenFile === undefined ? {} : { tokenFile }),
  };
}

function say(answer: unknown): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0));
}

try {
  say({ credentials: await find(JSON.parse(process.argv[2]!) as CredentialsRequest) });
} catch (error) {
  say({ problem: (error as Error).message.split('\n')[0] });
}
