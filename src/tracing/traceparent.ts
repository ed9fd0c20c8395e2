/** `traceparent` of W3C Trace Context, read as strictly as its grammar says. Pure. */

export interface TraceParent {
  /** 32 lower-case hex digits, not all zero. */
  readonly traceId: string;
  /** 16 lower-case hex digits, not all zero. */
  readonly spanId: string;
  readonly sampled: boolean;
}

const LENGTH = 55;

/**
 * Undefined for anything that is not valid: then a trace begins anew (3.2.2.3). Later versions may add parts behind the
 * flags, behind another dash; version ff is none.
 *
 * @param text the value of the one field of that name
 */
export function parseTraceparent(text: string): TraceParent | undefined {
  if (text.length < LENGTH || text.length > 512) return undefined;
  if (text[2] !== '-' || text[35] !== '-' || text[52] !== '-') return undefined;
  if (!isHex(text, 0, 2) || !isHex(text, 3, 35) || !isHex(text, 36, 52) || !isHex(text, 53, 55)) {
    return undefined;
  }
  const version = text.slice(0, 2);
  if (version === 'ff') return undefined;
  if (text.length > LENGTH && (version === '00' || text[LENGTH] !== '-')) return undefined;
  const traceId = text.slice(3, 35);
  const spanId = text.slice(36, 52);
  if (isZero(traceId) || isZero(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(text.slice(53, 55), 16) & 1) === 1 };
}

/** Version 00, whatever came in: the parts of later versions are unknown here (4.2). */
export function formatTraceparent({ traceId, spanId, sampled }: TraceParent): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}

/** Lower case alone: upper-case letters are an error (3.2.2.3). */
function isHex(text: string, from: number, to: number): boolean {
  for (let i = from; i < to; i++) {
    const code = text.charCodeAt(i);
    if (!((code >= 48 && code <= 57) || (code >= 97 && code <= 102))) return false;
  }
  return true;
}

function isZero(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) !== 48) return false;
  return true;
}
