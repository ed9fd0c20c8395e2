/** Assertions that stay on in production: where one fails, a bug would corrupt state. */

/** A state that must never occur. It ends one exchange with `internal_error`, and never the process. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError';
}

/**
 * Asserts that `condition` holds.
 *
 * @param claim what must hold, such as "leased places are not negative"
 * @throws InvariantError if it does not
 */
export function invariant(condition: boolean, claim: string): asserts condition {
  if (!condition) throw new InvariantError(`violated: ${claim}`);
}
