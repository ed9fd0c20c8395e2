/** What a command may touch of the outside besides files and sockets. */
export interface CommandIo {
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Of the package. */
  readonly version: string;
}

/** A mistake in how a command was called; shown without a stack trace, exit code 2. */
export class UsageError extends Error {}
