/**
 * The end before the start is over. A process with the id 1, as in a container, has no default action for signals: one
 * that comes while modules are loaded or upstreams resolved would be lost, and the container be killed only at the end
 * of its grace period. Nothing is served yet, so there is nothing to end in order.
 */
export function endOnEarlySignals(): void {
  // Node's own answer is a debugger on a port of the machine, which hands the whole process to whoever connects.
  process.on('SIGUSR1', () => {});
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      // The proxy listens by itself once it serves.
      if (process.listenerCount(signal) === 1) process.exit(0);
    });
  }
}
