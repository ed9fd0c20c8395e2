/** Waiting for conditions instead of sleeping: a test ends as soon as it can, and says what it waited for. */

const POLL_MS = 10;

/**
 * Calls `condition` until it returns something truthy, which is resolved to. What it throws counts as "not yet"; the
 * last such error is named when the deadline passes.
 *
 * @param what  completes the sentence "waited in vain for …"
 */
export async function waitFor<T>(
  what: string,
  condition: () => T | Promise<T>,
  timeoutMs = 10_000,
): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value !== undefined && value !== null && value !== false && value !== 0) {
        return value as NonNullable<T>;
      }
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= deadline) {
      const why = last === undefined ? '' : ` (last error: ${(last as Error).message})`;
      throw new Error(`waited in vain for ${what}, ${timeoutMs} ms long${why}`);
    }
    await pause(POLL_MS);
  }
}

/** Rejects with "… did not come in time" unless `promise` settles before. */
export async function inTime<T>(what: string, promise: Promise<T>, timeoutMs = 10_000): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** For fixtures that must be slow themselves, and to watch that something does not happen. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
