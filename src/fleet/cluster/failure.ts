/** What goes wrong between here and the API server, said so that a person can act on it. */

/** What the server, or the way to it, said no with. */
export class ClusterFailure extends Error {
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** `reason` of the Status object, such as Expired. */
  readonly reason: string;
  /** How long the server asked to wait, in milliseconds; undefined when it did not. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, status: number, reason = '', retryAfterMs?: number) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = retryAfterMs;
  }

  /** Asking again can help. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }

  /** The resource version is too old: list again. */
  get expired(): boolean {
    return this.status === 410 || this.reason === 'Expired' || this.reason === 'Gone';
  }
}

interface Status {
  readonly message?: unknown;
  readonly reason?: unknown;
  readonly code?: unknown;
}

/** @param what  such as `list pods in namespace "shop"` */
export function refusal(
  what: string,
  server: string,
  status: number,
  body: string,
  retryAfter: string | undefined,
): ClusterFailure {
  let parsed: Status = {};
  try {
    parsed = (JSON.parse(body) as Status | null) ?? {};
  } catch {
    // A load balancer's page.
  }
  const reason = typeof parsed.reason === 'string' ? parsed.reason : '';
  const said =
    typeof parsed.message === 'string' && parsed.message !== '' ? clip(parsed.message) : `HTTP ${status}`;
  const retryAfterMs =
    retryAfter !== undefined && /^\d{1,5}$/.test(retryAfter) ? Number(retryAfter) * 1_000 : undefined;
  return new ClusterFailure(`cannot ${what}: ${wordsOf(status, said, server)}`, status, reason, retryAfterMs);
}

function wordsOf(status: number, said: string, server: string): string {
  switch (status) {
    case 401:
      return `${server} does not accept the credentials (${said}); the token may have expired: sign in again, or check the kubeconfig`;
    case 403:
      return `forbidden (${said}); grant the verb as deploy/fleet does`;
    case 404:
      return `not found at ${server} (${said})`;
    case 410:
      return `the server has forgotten that version (${said})`;
    case 429:
      return `${server} is busy (${said})`;
    default:
      return status >= 500
        ? `${server} failed with ${status} (${said})`
        : `${server} answered ${status} (${said})`;
  }
}

/** An error that came instead of an answer. */
export function silence(what: string, server: string, error: unknown): ClusterFailure {
  if (error instanceof ClusterFailure) return error;
  const { code, cause, name, message } = error as NodeJS.ErrnoException & { cause?: NodeJS.ErrnoException };
  const at = code ?? cause?.code ?? '';
  const late =
    name === 'TimeoutError' || name === 'AbortError' || at.includes('TIMEOUT') || at === 'ETIMEDOUT';
  return new ClusterFailure(
    `cannot ${what}: ${late ? `${server} did not answer in time` : silenceWords(at, message, server)}`,
    0,
    late ? 'Timeout' : at,
  );
}

function silenceWords(code: string, message: string, server: string): string {
  if (code === 'ECONNREFUSED')
    return `nothing listens at ${server}; is the cluster up, and the address right?`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `the name of ${server} does not resolve`;
  if (code === 'ECONNRESET' || code === 'UND_ERR_SOCKET' || code === 'EPIPE')
    return `${server} cut the connection`;
  if (isDistrust(code)) {
    return `the certificate of ${server} is not trusted (${code}); is certificate-authority of the kubeconfig right?`;
  }
  return `${server}: ${clip(message)}`;
}

/** Codes of OpenSSL and Node for a certificate that does not hold. */
export function isDistrust(code: string): boolean {
  return /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS/.test(code);
}

function clip(message: string): string {
  const line = message.replaceAll(/\s+/g, ' ');
  return line.length > 300 ? `${line.slice(0, 299)}…` : line;
}
