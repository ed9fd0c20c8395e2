/** Self-signed certificates for upstreams that speak TLS, made here so that no key lies in the repository. */

import { generateKeyPairSync, sign } from 'node:crypto';
import { isIP } from 'node:net';

export interface Certificate {
  /** PEM. */
  readonly key: string;
  /** PEM; also what a client has to trust. */
  readonly cert: string;
}

/** DER: tag, length, content. */
function der(tag: number, ...parts: readonly (Buffer | string)[]): Buffer {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
  const { length } = content;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >>> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const SEQUENCE = 0x30;
const ECDSA_SHA256 = der(SEQUENCE, Buffer.from('06082a8648ce3d040302', 'hex'));
const COMMON_NAME = Buffer.from('0603550403', 'hex');
const SUBJECT_ALT_NAME = Buffer.from('0603551d11', 'hex');
const BASIC_CONSTRAINTS = Buffer.from('0603551d13', 'hex');
const TRUE = Buffer.from('0101ff', 'hex');

const utcTime = (at: number) =>
  der(0x17, `${new Date(at).toISOString().slice(2, 19).replace(/[-T:]/g, '')}Z`);

function pem(label: string, bytes: Buffer): string {
  return `-----BEGIN ${label}-----\n${bytes.toString('base64').replace(/.{1,64}/g, '$&\n')}-----END ${label}-----\n`;
}

const HOUR = 3_600_000;

/** Valid for an hour on either side of now, for these DNS names and IPv4 addresses. */
export function selfSigned(...names: readonly string[]): Certificate {
  return selfSignedBetween(Date.now() - HOUR, Date.now() + HOUR, names);
}

/** Expired an hour ago. */
export function expired(...names: readonly string[]): Certificate {
  return selfSignedBetween(Date.now() - 2 * HOUR, Date.now() - HOUR, names);
}

/** Valid in an hour. */
export function notYetValid(...names: readonly string[]): Certificate {
  return selfSignedBetween(Date.now() + HOUR, Date.now() + 2 * HOUR, names);
}

function selfSignedBetween(notBefore: number, notAfter: number, names: readonly string[]): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = der(SEQUENCE, der(0x31, der(SEQUENCE, COMMON_NAME, der(0x0c, 'pointsman test'))));
  const alternatives = names.map((alternative) =>
    isIP(alternative) === 4
      ? der(0x87, Buffer.from(alternative.split('.').map(Number)))
      : der(0x82, alternative),
  );
  const extension = (id: Buffer, ...rest: Buffer[]) =>
    der(SEQUENCE, id, ...rest.slice(0, -1), der(0x04, rest.at(-1)!));
  const toBeSigned = der(
    SEQUENCE,
    der(0xa0, Buffer.from('020102', 'hex')),
    der(0x02, Buffer.from([1])),
    ECDSA_SHA256,
    name,
    der(SEQUENCE, utcTime(notBefore), utcTime(notAfter)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(
      0xa3,
      der(
        SEQUENCE,
        extension(BASIC_CONSTRAINTS, TRUE, der(SEQUENCE, TRUE)),
        extension(SUBJECT_ALT_NAME, der(SEQUENCE, ...alternatives)),
      ),
    ),
  );
  const signature = sign('sha256', toBeSigned, privateKey);
  const certificate = der(SEQUENCE, toBeSigned, ECDSA_SHA256, der(0x03, Buffer.from([0]), signature));
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    cert: pem('CERTIFICATE', certificate),
  };
}
