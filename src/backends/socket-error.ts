/** Errors of sockets, TLS and HTTP parsing in the words of those who run the upstream. */

const WORDS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection reset',
  ECONNABORTED: 'connection aborted',
  ETIMEDOUT: 'connection timed out',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network unreachable',
  EHOSTDOWN: 'host is down',
  EACCES: 'connecting is not permitted on this host',
  EPERM: 'connecting is not permitted on this host',
  UND_ERR_SOCKET: 'connection closed without a response',
  UND_ERR_HEADERS_OVERFLOW: 'response head is too large',
  EPROTO: 'TLS: the handshake failed',
  CERT_NOT_YET_VALID: 'TLS: the certificate is not valid yet',
  CERT_HAS_EXPIRED: 'TLS: the certificate has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'TLS: the certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'TLS: the certificate chain is self-signed',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'TLS: the certificate is not signed by a known authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'TLS: the certificate is not signed by a known authority',
  ERR_TLS_CERT_ALTNAME_INVALID: 'TLS: the certificate is for another name',
  ERR_SSL_WRONG_VERSION_NUMBER: 'TLS: the endpoint does not speak TLS',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'TLS: the endpoint does not speak TLS',
};

/** What is missing on this host rather than wrong with the endpoint. */
const LOCAL = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL', 'EAGAIN']);

/** Node's message for an upstream that closes during the handshake; its code, ECONNRESET, does not tell. */
const HANDSHAKE_CLOSED = 'Client network socket disconnected before secure TLS connection was established';

/** Errors of the handshake, by OpenSSL and Node. */
const HANDSHAKE_CODE = /^(?:ERR_SSL_|ERR_TLS_|ERR_OSSL_|EPROTO$)/;

/** Results of the certificate check (X509_V_ERR_*), by the names that Node gives them as codes. */
const CERTIFICATE_CODE =
  /^(?:CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERROR_IN_C(?:ERT|RL)_|INVALID_CA$|INVALID_PURPOSE$|PATH_LENGTH_EXCEEDED$|HOSTNAME_MISMATCH$|UNSPECIFIED$)/;

/** True if the TLS handshake or the check of the certificate failed, while the endpoint accepts TCP connections. Pure. */
export function isTlsFailure(error: Error): boolean {
  const code = codeOf(error);
  return HANDSHAKE_CODE.test(code) || CERTIFICATE_CODE.test(code) || error.message === HANDSHAKE_CLOSED;
}

export function socketError(error: Error): string {
  const code = codeOf(error);
  if (error.message === HANDSHAKE_CLOSED)
    return 'TLS: the endpoint closed the connection during the handshake';
  if (error.message === 'bad upgrade') return 'HTTP 101, though no upgrade was asked for';
  const words = WORDS[code];
  if (words !== undefined) return words;
  if (LOCAL.has(code)) return `not checked: this host is short of sockets, files or memory (${code})`;
  // undici's name: its code is that of llhttp, and for some answers there is none.
  if (error.name === 'HTTPParserError') return 'response is not HTTP/1';
  if (isTlsFailure(error)) return `TLS: ${code}`;
  return error.message.slice(0, 200);
}

/** Whether the error says nothing about the other side: files, ports or memory have run out here. */
export function isLocalShortage(error: Error): boolean {
  return LOCAL.has(codeOf(error));
}

function codeOf(error: Error): string {
  return String((error as NodeJS.ErrnoException).code ?? '');
}
