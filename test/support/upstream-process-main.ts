/** Entry of `upstream-process.ts`: name and port come as arguments, the port goes back over the channel. */

import { openHttpUpstream } from './http-upstream.ts';

const [name = 'upstream', port = '0'] = process.argv.slice(2);
const upstream = await openHttpUpstream(name, { port: Number(port) });
process.send!({ port: upstream.port });
