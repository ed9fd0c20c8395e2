import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { said } from '../../../src/alerts/said.ts';

suite('what another server answered', () => {
  test('is one line of it, clipped', () => {
    assert.equal(said(' no_service\n', ['/services/T000/B000/x']), 'no_service');
    assert.equal(said(`a\n\tb ${'x'.repeat(500)}`, []).length, 200);
  });

  test('has nothing of what it was told in confidence, however it quotes it', () => {
    const path = '/services/T0001234/h8%2FGeheim/hook';
    const token = 'Bearer abcdef123456';
    const quotes = [
      `<pre>Cannot POST ${path}</pre>`,
      `Cannot POST ${decodeURIComponent(path)}`,
      'no such team T0001234',
      `bad token ${token}`,
      'bad token abcdef123456',
      `unknown command AUTH ${Buffer.from(token).toString('base64')}`,
      `${path} `.repeat(30),
    ];
    for (const quote of quotes) {
      assert.doesNotMatch(said(quote, [path, token]), /Geheim|T0001234|abcdef|QmVhcmVy/, quote);
    }
    assert.equal(said(quotes[0]!, [path]), '<pre>Cannot POST …</pre>');
  });

  test('keeps words that are too short to be a secret', () => {
    assert.equal(said('no hook at all', ['/a/hook']), 'no hook at all');
  });
});
