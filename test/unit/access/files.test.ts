import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { AccessFileError, createRate, openTokens, openUsers } from '../../../src/access/index.js';
import { hashPassword, verifyPassword } from '../../../src/access/password.js';
import { openSessions } from '../../../src/access/sessions.js';

const folder = mkdtempSync(join(tmpdir(), 'mcnet-access-'));
after(() => rmSync(folder, { recursive: true }));
let count = 0;
const path = () => join(folder, `${count++}.json`);
const PASSWORD = 'a quiet brass kettle';

test('a password is kept as its scrypt hash only, each with a salt of its own', async () => {
  const [one, other] = await Promise.all([hashPassword(PASSWORD), hashPassword(PASSWORD)]);
  assert.match(one, /^\$scrypt\$ln=16,r=8,p=2\$[\w-]{22}\$[\w-]{43}$/);
  assert.notEqual(one, other);
  assert.equal(await verifyPassword(PASSWORD, one), true);
  assert.equal(await verifyPassword(`${PASSWORD} `, one), false);
  assert.equal(await verifyPassword(PASSWORD, one.replace('p=2', 'p=1')), false);
  assert.equal(await verifyPassword(PASSWORD, 'plain'), false);
});

test('users: added, found without regard to case, changed, removed; only the owner can read the file', async () => {
  const file = path();
  const users = openUsers(file);
  assert.deepEqual(users.list(), []);
  await users.add('maria', 'technologist', PASSWORD);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.doesNotMatch(readFileSync(file, 'utf8'), /kettle/);
  assert.equal((await users.verify('Maria', PASSWORD))?.role, 'technologist');
  assert.equal(await users.verify('maria', 'another password!'), undefined);
  assert.equal(await users.verify('nobody', PASSWORD), undefined);
  await assert.rejects(users.add('MARIA', 'viewer', PASSWORD), /has a user "MARIA" already/);
  await users.setPassword('maria', 'an even quieter kettle');
  assert.equal(await users.verify('maria', PASSWORD), undefined);
  users.remove('maria');
  assert.deepEqual(users.list(), []);
  assert.throws(() => users.remove('maria'), /has no user "maria"/);
});

test('names and passwords that are not good are refused with a sentence', async () => {
  const users = openUsers(path());
  for (const name of ['', '-x', '../x', 'a b', 'x'.repeat(65), 'a\nb', 'ä']) {
    await assert.rejects(users.add(name, 'viewer', PASSWORD), AccessFileError, name);
  }
  for (const password of ['short', 'aaaaaaaaaaaaaa', 'maria2026maria', 'x'.repeat(2000)]) {
    await assert.rejects(users.add('maria', 'viewer', password), /choose another one/, password);
  }
});

test('a file that somebody broke is named, and nobody is let in', () => {
  for (const text of ['{', '[]', '{"users":[{"name":"x","role":"root"}]}']) {
    const file = path();
    writeFileSync(file, text);
    assert.throws(
      () => openUsers(file).list(),
      new RegExp(`^AccessFileError: ${file.replaceAll('.', '\\.')} is not`),
    );
  }
});

test('tokens: shown once, kept as a digest, refused when changed, expired or removed', () => {
  const file = path();
  const tokens = openTokens(file);
  const token = tokens.add('pacs', 'sender');
  assert.match(token, /^mcnet_[0-9a-f]{16}_[\w-]{43}$/);
  assert.ok(!readFileSync(file, 'utf8').includes(token.slice(-43)));
  assert.equal(tokens.verify(token)?.role, 'sender');
  const other = tokens.add('prometheus', 'monitor');
  // The id of one with the secret of the other, and a letter changed at every tenth place.
  assert.equal(tokens.verify(token.slice(0, 23) + other.slice(23)), undefined);
  for (let at = 0; at < token.length; at += 10) {
    const changed = token.slice(0, at) + (token[at] === 'a' ? 'b' : 'a') + token.slice(at + 1);
    assert.equal(tokens.verify(changed), undefined, changed);
  }
  for (const odd of ['', 'mcnet_', `${token}x`, token.toUpperCase()])
    assert.equal(tokens.verify(odd), undefined);
  const old = tokens.add('old', 'reader', new Date(Date.now() - 1));
  assert.equal(tokens.verify(old), undefined);
  assert.throws(() => tokens.add('pacs', 'reader'), /has a token "pacs" already/);
  tokens.remove('pacs');
  assert.equal(tokens.verify(token), undefined);
  assert.equal(tokens.verify(other)?.name, 'prometheus');
});

test('sessions end after their lifetime, without requests, and by logout; they outlive a restart', () => {
  let now = 1e12;
  const file = path();
  const open = () => openSessions(file, { lifetime: 10_000, idle: 1000 }, () => now);
  const sessions = open();
  const cookie = sessions.begin('maria');
  assert.ok(!readFileSync(file, 'utf8').includes(cookie));
  assert.equal(sessions.find(cookie)?.user, 'maria');
  assert.equal(sessions.find(`${cookie}x`), undefined);
  assert.equal(open().find(cookie)?.user, 'maria');
  for (let i = 0; i < 12; i++) {
    now += 900;
    assert.equal(sessions.find(cookie)?.user, i < 11 ? 'maria' : undefined, String(i));
  }
  const idle = sessions.begin('maria');
  now += 1001;
  assert.equal(sessions.find(idle), undefined);
  const watched = sessions.begin('maria');
  now += 900;
  assert.equal(sessions.find(watched, true)?.user, 'maria');
  now += 101;
  assert.equal(sessions.find(watched, true), undefined);
  const ended = sessions.begin('maria');
  assert.equal(sessions.end(ended)?.user, 'maria');
  assert.equal(sessions.find(ended), undefined);
  assert.equal(open().find(ended), undefined);
});

test('a rate gives each key its own, and more as time goes by', () => {
  let now = 0;
  const rate = createRate(60, () => now);
  for (let i = 0; i < 60; i++) assert.equal(rate.take('a'), 0);
  assert.equal(rate.take('a'), 1000);
  assert.equal(rate.take('b'), 0);
  now += 1000;
  assert.equal(rate.take('a'), 0);
  assert.ok(rate.take('a') > 0);
});

test('what root writes can be read by the server that runs as somebody else', (t) => {
  if (process.getuid?.() !== 0) return t.skip('only root gives files away');
  const as = (uid: number, gid: number, mode: number) => {
    const its = mkdtempSync(join(folder, 'owned-'));
    chownSync(its, uid, gid);
    chmodSync(its, mode);
    return join(its, 'tokens.json');
  };
  const standsAs = (file: string) => {
    const { uid, gid, mode } = statSync(file);
    return [uid, gid, mode & 0o777];
  };
  const configuration = as(0, 65534, 0o750);
  openTokens(configuration).add('pacs', 'sender');
  assert.deepEqual(standsAs(configuration), [0, 65534, 0o640]);
  openTokens(configuration).remove('pacs');
  assert.deepEqual(standsAs(configuration), [0, 65534, 0o640]);
  const data = as(65534, 65534, 0o700);
  openTokens(data).add('pacs', 'sender');
  assert.deepEqual(standsAs(data), [65534, 65534, 0o600]);
  const given = as(0, 0, 0o755);
  openTokens(given).add('pacs', 'sender');
  assert.deepEqual(standsAs(given), [0, 0, 0o600]);
  chownSync(given, 65534, 65534);
  openTokens(given).add('router', 'sender');
  assert.deepEqual(standsAs(given), [65534, 65534, 0o600]);
});
