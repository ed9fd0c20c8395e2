/** What an error of Redis or of its client means, in words that say what to do. */

/** `otherType`: Redis is well, but the key holds no text: it is not ours. */
export type RedisFaultKind = 'timeout' | 'closed' | 'away' | 'refused' | 'otherType';

export interface RedisFault {
  readonly kind: RedisFaultKind;
  readonly reason: string;
}

/** By the first word of an error that Redis itself answers. */
const ANSWERS: Readonly<Record<string, string>> = {
  NOAUTH: 'Redis wants a password; set redis.password or put it into redis.url',
  WRONGPASS: 'Redis refuses the user or the password; check redis.url, redis.username and redis.password',
  NOPERM:
    'the user of Redis may not do this; allow it SET, GET, GETEX, INFO and PING on keys with redis.keyPrefix, and EVAL, EVALSHA and TIME for shared rates',
  READONLY: 'Redis is a read-only replica; redis.url must lead to the master (or use redis+sentinel://)',
  OOM: 'Redis is out of memory; raise maxmemory, or let it evict keys',
  LOADING: 'Redis is still loading its data',
  MASTERDOWN: 'Redis is a replica without a link to its master',
  MISCONF: 'Redis cannot save its data and takes no writes; see its log',
  CLUSTERDOWN: 'the Cluster of Redis is down',
  MOVED: 'Redis is a node of a Cluster; write redis+cluster:// in redis.url',
  ASK: 'Redis is a node of a Cluster; write redis+cluster:// in redis.url',
  BUSY: 'Redis is busy with a script',
  NOREPLICAS: 'Redis has too few replicas to take writes',
};

export function redisFaultOf(error: unknown): RedisFault {
  const { message, code } = error as NodeJS.ErrnoException;
  const { lastNodeError } = error as { lastNodeError?: unknown };
  if (lastNodeError instanceof Error || /None of startup nodes/.test(message)) {
    // Of a Cluster; a node that answers has more to say than one that does not.
    const inner = lastNodeError instanceof Error ? redisFaultOf(lastNodeError) : undefined;
    if (inner?.kind === 'refused') return inner;
    return { kind: 'away', reason: 'no node of the Cluster of Redis can be reached' };
  }
  if (/^(?:-)?WRONGTYPE\b/.test(message)) return { kind: 'otherType', reason: 'the key holds another type' };
  if (message === 'Command timed out') return { kind: 'timeout', reason: 'no answer within the deadline' };
  if (/^ERR syntax error/.test(message) || /^ERR unknown command.*GETEX/i.test(message)) {
    return { kind: 'refused', reason: 'this Redis is older than 7.0, which pins need (SET with NX and GET)' };
  }
  // Quoted with its arguments, the password.
  if (/^ERR unknown command.*\bAUTH\b/i.test(message)) {
    return {
      kind: 'refused',
      reason:
        'this Redis knows no AUTH; take user and password out of redis.url, redis.username and redis.password',
    };
  }
  if (/without any password configured|invalid password/i.test(message)) {
    return { kind: 'refused', reason: ANSWERS['WRONGPASS']! };
  }
  const word = /(?:^|: |: -|Last error: )([A-Z]{3,12}) /.exec(message)?.[1];
  const known = word === undefined ? undefined : ANSWERS[word];
  if (known !== undefined) return { kind: 'refused', reason: known };
  if (/All sentinels are unreachable/.test(message)) {
    return { kind: 'away', reason: `no Sentinel knows the master or can be reached${detail(message)}` };
  }
  if (code !== undefined && /^[A-Z_0-9]{2,48}$/.test(code)) {
    return { kind: 'away', reason: `Redis cannot be reached (${code})` };
  }
  if (/Connection is closed|isn't writeable|enableOfflineQueue|max retries per request/i.test(message)) {
    return { kind: 'closed', reason: 'the connection to Redis is closed' };
  }
  return { kind: 'away', reason: `Redis: ${withoutArguments(message).slice(0, 200)}` };
}

function detail(message: string): string {
  const last = /Last error: (.*)$/s.exec(message)?.[1];
  return last === undefined ? '' : ` (${withoutArguments(last).slice(0, 100)})`;
}

/** Redis quotes those of a command that it does not know. */
function withoutArguments(message: string): string {
  return message.replace(/,? with args beginning with.*$/is, '');
}
