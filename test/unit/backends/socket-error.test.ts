/** Errors of connections to real servers, and which of them are failures of TLS. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import {
  createServer as createTlsServer,
  getCACertificates,
  setDefaultCACertificates,
  type TlsOptions,
} from 'node:tls';
import { connectEndpoint } from '../../../src/backends/connect.ts';
import { isLocalShortage, isTlsFailure, socketError } from '../../../src/backends/socket-error.ts';
import { type Certificate, expired, notYetValid, selfSigned } from '../../support/certificate.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { reserveClosedPort } from '../../support/closed-port.ts';
import { inTime } from '../../support/wait-for.ts';

const NAME = 'shop.test';
const good = selfSigned(NAME);
const old = expired(NAME);
const early = notYetValid(NAME);
const elsewhere = selfSigned('elsewhere.test');
const unknown = selfSigned(NAME);
const usual = getCACertificates('default');
cleanUp(() => setDefaultCACertificates(usual));

async function listen(server: Server): Promise<number> {
  server.on('tlsClientError', () => {});
  cleanUp(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

const listenTls = (options: TlsOptions) =>
  listen(createTlsServer(options, (socket) => socket.on('error', () => {}).end()));

/** Calls back with the first bytes of each connection. */
const listenTcp = (onBytes: (socket: Socket) => void) =>
  listen(createServer((socket) => socket.on('error', () => {}).once('data', () => onBytes(socket))));

/** Returns the error of an https connection; undefined if there is none. */
async function errorAt(
  port: number,
  trusted: Certificate = good,
): Promise<NodeJS.ErrnoException | undefined> {
  setDefaultCACertificates([...usual, trusted.cert]);
  const socket = connectEndpoint({ scheme: 'https', address: '127.0.0.1', port, serverName: NAME });
  let failure: NodeJS.ErrnoException | undefined;
  socket.on('error', (error) => {
    failure = error;
  });
  socket.resume();
  await inTime('the connection to end', new Promise((resolve) => socket.once('close', resolve)), 5_000);
  return failure;
}

describe('an error is a TLS failure', () => {
  for (const [what, start, trusted, code, words] of [
    [
      'if the certificate has expired',
      () => listenTls(old),
      old,
      'CERT_HAS_EXPIRED',
      'the certificate has expired',
    ],
    [
      'if the certificate is not valid yet',
      () => listenTls(early),
      early,
      'CERT_NOT_YET_VALID',
      'the certificate is not valid yet',
    ],
    [
      'if the certificate is self-signed',
      () => listenTls(unknown),
      good,
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'the certificate is self-signed',
    ],
    [
      'if the certificate is for another name',
      () => listenTls(elsewhere),
      elsewhere,
      'ERR_TLS_CERT_ALTNAME_INVALID',
      'the certificate is for another name',
    ],
    [
      'if the endpoint speaks plain HTTP',
      () => listenTcp((socket) => socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n')),
      good,
      'ERR_SSL_WRONG_VERSION_NUMBER',
      'the endpoint does not speak TLS',
    ],
    [
      'if the endpoint speaks an old version of TLS',
      () => listenTls({ ...good, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
      good,
      'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
      'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
    ],
    [
      'if the endpoint speaks HTTP/2 only',
      () => listenTls({ ...good, ALPNProtocols: ['h2'] }),
      good,
      'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
      'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
    ],
    [
      'if the endpoint closes the connection during the handshake',
      () => listenTcp((socket) => socket.end()),
      good,
      'ECONNRESET',
      'the endpoint closed the connection during the handshake',
    ],
  ] as const) {
    it(what, async () => {
      const error = await errorAt(await start(), trusted);
      assert.ok(error !== undefined);
      assert.deepEqual([error.code, isTlsFailure(error), socketError(error)], [code, true, `TLS: ${words}`]);
      assert.equal(isLocalShortage(error), false);
    });
  }

  it('if the check of the certificate fails in a way that no test server shows', () => {
    for (const code of [
      'CERT_REVOKED',
      'CERT_SIGNATURE_FAILURE',
      'CRL_HAS_EXPIRED',
      'SELF_SIGNED_CERT_IN_CHAIN',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'ERROR_IN_CERT_NOT_AFTER_FIELD',
      'INVALID_CA',
      'INVALID_PURPOSE',
      'PATH_LENGTH_EXCEEDED',
      'HOSTNAME_MISMATCH',
      'UNSPECIFIED',
      'EPROTO',
      'ERR_OSSL_UNSUPPORTED',
    ]) {
      const error = Object.assign(new Error('x'), { code });
      assert.equal(isTlsFailure(error), true, code);
      assert.match(socketError(error), /^TLS: /, code);
    }
  });
});

describe('an error is not a TLS failure', () => {
  it('if there is none', async () => {
    assert.equal(await errorAt(await listenTls(good)), undefined);
  });

  it('if the connection is refused or reset', async () => {
    const refused = await errorAt(await reserveClosedPort());
    assert.deepEqual([refused?.code, isTlsFailure(refused!)], ['ECONNREFUSED', false]);
    const reset = await errorAt(await listenTcp((socket) => socket.resetAndDestroy()));
    assert.deepEqual([reset?.code, isTlsFailure(reset!)], ['ECONNRESET', false]);
    assert.equal(socketError(reset!), 'connection reset');
  });

  it('if it is a timeout, a shortage on this host or invalid HTTP', () => {
    for (const code of [
      'ETIMEDOUT',
      'EMFILE',
      'EADDRNOTAVAIL',
      'UND_ERR_SOCKET',
      'HPE_INVALID_CONSTANT',
      '',
    ]) {
      assert.equal(isTlsFailure(Object.assign(new Error('timed out'), { code })), false, code);
    }
    assert.equal(isTlsFailure(new Error('timed out')), false);
  });
});
