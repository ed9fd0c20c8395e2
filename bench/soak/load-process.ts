/**
 * Clients of some kinds, until SIGTERM. Argument: JSON `LoadOptions`. Tells by lines on standard output: that it has
 * begun; every failure; and, on SIGUSR2 and at the end, what was done since the last time.
 */

import { endIdleConnections } from './load/idle.ts';
import { type LoadOptions, pacedKinds, TIMED } from './load/kinds.ts';
import { Pacer } from './load/pacer.ts';
import { Tally } from './load/tally.ts';
import { startWebSockets } from './load/web-sockets.ts';

const options = JSON.parse(process.argv[2] ?? '{}') as LoadOptions;
const tally = new Tally(TIMED);
const pacer = new Pacer(pacedKinds(options, tally), () => tally.held());
pacer.start();
const sockets = startWebSockets(options.port, options.webSockets, options.name, tally);
process.on('SIGUSR2', () => tally.tellInterval());
tally.tellBegun();

process.once('SIGTERM', async () => {
  await Promise.all([pacer.stop(), sockets.stop()]);
  endIdleConnections();
  tally.tellInterval();
  process.exit(0);
});
