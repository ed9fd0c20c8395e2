/**
 * Who we are to a cluster, found out by the official client: kubeconfigs with certificates, exec plugins and OIDC, or the
 * pod's service account. It brings 75 MiB of code along for a header and two certificates, so it runs in a process of
 * its own that ends at once; the survey's process keeps what it said.
 */

import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { ClusterFailure } from './failure.ts';

export interface CredentialsRequest {
  readonly kubeconfig: string | null;
  readonly context: string | null;
}

const tlsSchema = z.object({
  ca: z.string().optional(),
  cert: z.string().optional(),
  key: z.string().optional(),
  passphrase: z.string().optional(),
  rejectUnauthorized: z.boolean().optional(),
  servername: z.string().optional(),
});

const credentialsSchema = z.object({
  server: z.string(),
  cluster: z.string(),
  namespace: z.string(),
  inCluster: z.boolean(),
  headers: z.record(z.string(), z.string()),
  tls: tlsSchema,
  /** `http(s)://` proxy of the kubeconfig. */
  proxy: z.string().optional(),
  /** Where the bearer token is read from; it rotates. */
  tokenFile: z.string().optional(),
});

export type Credentials = z.output<typeof credentialsSchema>;

const answerSchema = z.union([
  z.object({ credentials: credentialsSchema }),
  z.object({ problem: z.string() }),
]);

/** Exec plugins may open a browser and wait for a person. */
const TIMEOUT_MS = 120_000;
const MAX_OUTPUT = 1024 ** 2;
const CHILD = fileURLToPath(new URL(`./credentials-main${import.meta.url.slice(-3)}`, import.meta.url));

/** @throws ClusterFailure */
export async function findCredentials(
  request: CredentialsRequest,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Credentials> {
  const output = await run(JSON.stringify(request), environment);
  let json: unknown;
  try {
    json = JSON.parse(output);
  } catch {
    throw new ClusterFailure(
      'cannot sign in: the Kubernetes client ended without an answer',
      401,
      'Credentials',
    );
  }
  const answer = answerSchema.parse(json);
  if ('problem' in answer) throw new ClusterFailure(answer.problem, 401, 'Credentials');
  return answer.credentials;
}

function run(request: string, environment: Readonly<Record<string, string | undefined>>): Promise<string> {
  return new Promise((resolve, reject) => {
    // Plugins may ask for a password, so the terminal is theirs.
    const child = spawn(process.execPath, [CHILD, request], {
      stdio: ['inherit', 'pipe', 'inherit'],
      env: environment,
      timeout: TIMEOUT_MS,
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.length > MAX_OUTPUT) child.kill('SIGKILL');
    });
    child.once('error', (error) =>
      reject(new ClusterFailure(`cannot sign in: ${error.message}`, 401, 'Credentials')),
    );
    child.once('close', () => resolve(output));
  });
}

/** The headers of now: a token in a file is read again, all else is as it was found. */
export async function currentHeaders({ headers, tokenFile }: Credentials): Promise<Record<string, string>> {
  if (tokenFile === undefined) return headers;
  try {
    return { ...headers, Authorization: `Bearer ${(await readFile(tokenFile, 'utf8')).trim()}` };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ClusterFailure(
      `cannot sign in: the token file ${tokenFile} cannot be read (${code})`,
      401,
      'Credentials',
    );
  }
}
