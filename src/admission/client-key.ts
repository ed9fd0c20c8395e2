/** What counts as one client: an IPv4 address, or the /64 of an IPv6 one, which is what a single host is given. */

/** An IPv4 address as a listener for both families shows it. */
const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** @param address in any spelling that a socket or a field yields; without brackets, port or zone of others */
export function clientKey(address: string): string {
  if (!address.includes(':')) return address;
  const mapped = MAPPED.exec(address);
  if (mapped !== null) return mapped[1]!;
  const zone = address.indexOf('%');
  const plain = zone === -1 ? address : address.slice(0, zone);
  const gap = plain.indexOf('::');
  const front = (gap === -1 ? plain : plain.slice(0, gap)).split(':').filter((part) => part !== '');
  const behind = gap === -1 ? [] : plain.slice(gap + 2).split(':');
  // An IPv4 address at the end stands for two groups.
  const width = behind.reduce((sum, part) => sum + (part === '' ? 0 : part.includes('.') ? 2 : 1), 0);
  const groups: string[] = [];
  for (let i = 0; i < 4; i++) {
    const text = front[i] ?? behind[i - (8 - width)] ?? '0';
    groups.push(text.toLowerCase().replace(/^0+(?=.)/, ''));
  }
  return `${groups.join(':')}::/64`;
}
