/** What became of one try to tell somebody. */
export type Delivery =
  | { readonly result: 'sent' }
  /** Not now: again after a pause, at least `retryAfterMs`. */
  | { readonly result: 'later'; readonly error: string; readonly retryAfterMs?: number | undefined }
  /** Never: the address or the content is refused. */
  | { readonly result: 'refused'; readonly error: string };
