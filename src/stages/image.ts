/** Image references, which must say exactly which build they are. */

export type ImageVerdict =
  | { readonly ok: true; readonly version: string }
  | { readonly ok: false; readonly reason: string };

const HOST = '(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?/)?';
const PART = '[a-z0-9]+(?:(?:\\.|_{1,2}|-+)[a-z0-9]+)*';
const IMAGE = new RegExp(
  `^${HOST}${PART}(?:/${PART})*(?::([A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@sha256:([0-9a-f]{64}))?$`,
);

/**
 * Judges `[HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST]`. `version` is the tag, else the first 12 digits of the digest, at
 * most 63 characters, so that it can be a Kubernetes label.
 */
export function judgeImage(image: string): ImageVerdict {
  const match = image.length <= 512 ? IMAGE.exec(image) : null;
  if (match === null)
    return { ok: false, reason: 'is not an image; write REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST' };
  const [, tag, digest] = match;
  if (tag === undefined && digest === undefined) {
    return { ok: false, reason: 'has no tag; say which build it is: NAME:TAG or NAME@sha256:DIGEST' };
  }
  if (tag === 'latest' && digest === undefined) {
    return {
      ok: false,
      reason: 'is tagged latest, which is another build every day; give a tag of its own or a digest',
    };
  }
  const version = (tag ?? digest!.slice(0, 12)).slice(0, 63).replace(/[^A-Za-z0-9]+$/, '');
  return { ok: true, version };
}

/** The short name of a build that people read. */
export function versionOf(image: string): string {
  const verdict = judgeImage(image);
  return verdict.ok ? verdict.version : image;
}
