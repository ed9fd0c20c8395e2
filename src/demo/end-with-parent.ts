/**
 * Ends this process in order once whoever started it is gone, even by SIGKILL: its standard input, a pipe that nobody
 * writes to, then ends. Preloaded into the proxy of the demo and imported by its upstreams.
 */
process.stdin.resume();
process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM'));
process.stdin.on('error', () => process.kill(process.pid, 'SIGTERM'));
(process.stdin as { unref?: () => void }).unref?.();
