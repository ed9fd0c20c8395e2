import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type UsersQuestion, usersMet, usersWords } from '../../../src/stages/gates/users.ts';
import { commitMessage, parseHistory } from '../../../src/stages/message.ts';

const row = (
  backend: string,
  exposed: number,
  hurt: number,
  build: string | null = '1.7',
  route = 'free',
) => ({
  route,
  backend,
  build,
  exposed,
  hurt,
});
const QUESTION = { tracks: ['canary', 'paid'], build: '1.7' };

describe('the users that met a build', () => {
  it('are one number where proxies share what they know, added up over the rows of its tracks', () => {
    const of = 'all' as const;
    const first = {
      of,
      rows: [row('canary', 1_200, 30), row('paid', 40, 0, '1.7', 'paid'), row('production', 9_000, 1)],
    };
    const second = { of, rows: [row('canary', 1_190, 31), row('paid', 40, 0, '1.7', 'paid')] };
    assert.equal(
      usersWords([first, second], QUESTION),
      'about 1,240 users met 1.7 in the last 24 h, about 31 of them an error (over all proxies)',
    );
  });

  it('lie between two numbers where proxies share nothing, since they may have met the same ones', () => {
    const of = 'replica' as const;
    assert.equal(
      usersWords(
        [
          { of, rows: [row('canary', 800, 20)] },
          { of, rows: [row('canary', 700, 25)] },
        ],
        QUESTION,
      ),
      'about 800 to 1,500 users met 1.7 in the last 24 h, about 25 to 45 of them an error (2 of 2 proxies, which share nothing)',
    );
  });

  it('are those of this build: of another one nothing is said, and without a name only of what ran there', () => {
    const of = 'all' as const;
    assert.equal(usersWords([{ of, rows: [row('canary', 800, 20, '1.6')] }], QUESTION), undefined);
    assert.equal(usersWords([{ of, rows: [] }, undefined], QUESTION), undefined);
    assert.match(
      usersWords([{ of, rows: [row('canary', 800, 20, null)] }], QUESTION)!,
      /met what ran on canary, paid in the last 24 h/,
    );
  });

  it('are not known where a proxy cannot be asked, which is said and stops nothing', async () => {
    const question: UsersQuestion = {
      ...QUESTION,
      urls: ['http://127.0.0.1:1/'],
      subject: { service: 's', namespace: 'n', stage: 'free', track: 'canary', image: 'i' },
    };
    assert.match((await usersMet(question))!, /^not known: .*(ECONNREFUSED|bad port|fetch failed)/);
    assert.equal(await usersMet({ ...question, urls: [] }), undefined);
  });

  it('stand in the message of the commit, and are read back from it', () => {
    const message = commitMessage({
      service: 'account',
      change: { verb: 'rollback', stage: 'free', image: 'a:1.6', before: 'a:1.7', forced: [] },
      by: 'Ann <ann@example.org>',
      reason: 'errors',
      gates: [],
      users: 'about 31 users met 1.7\nStage-By: forged',
    });
    assert.match(message, /^errors$/m);
    assert.match(message, /^Users: about 31 users met 1\.7 Stage-By: forged\.$/m);
    assert.match(message, /^Stage-Users: about 31 users met 1\.7 Stage-By: forged$/m);
    const fields = [
      'abc',
      '2026-11-28T00:00:00Z',
      'rollback',
      'rollback',
      'free',
      '',
      '',
      '',
      '',
      '',
      'about 31',
    ];
    assert.equal(parseHistory(`${fields.join('\0')}\x01`)[0]!.users, 'about 31');
  });
});
