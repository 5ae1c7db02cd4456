import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matches } from '../../../src/retrieve/matching.js';

const one = (vr: string, key: string, value: string) => matches(vr, [key], [value]);

test('universal matching: no value, empty values and a star match everything, the absent too', () => {
  assert.ok(matches('LO', [], []));
  assert.ok(matches('LO', [''], ['x']));
  assert.ok(matches('LO', ['*'], []));
  assert.ok(!matches('LO', ['x'], []));
});

test('single values are compared exactly, names without regard to case', () => {
  assert.ok(one('LO', 'P-1', 'P-1'));
  assert.ok(!one('LO', 'p-1', 'P-1'));
  assert.ok(!one('LO', 'P.1', 'P-1'));
  assert.ok(one('PN', 'doe^john', 'Doe^John'));
  assert.ok(one('PN', 'Doe^John^^', 'Doe^John'));
  assert.ok(!one('PN', 'Doe', 'Doe^John'));
  assert.ok(one('PN', '山田^太郎', 'Yamada^Tarou=山田^太郎=やまだ^たろう'));
  assert.ok(one('IS', '04', '4'));
  assert.ok(matches('CS', ['MR'], ['CT', 'MR']));
});

test('wildcards', () => {
  assert.ok(one('LO', 'T1*', 'T1 mprage'));
  assert.ok(one('LO', '*prag?', 'T1 mprage'));
  assert.ok(one('LO', '*1*m*e', 'T1 mprage'));
  assert.ok(!one('LO', '*1*x*e', 'T1 mprage'));
  assert.ok(!one('LO', 'T1?', 'T1'));
  assert.ok(one('PN', 'M?LLER*', 'Müller^Jürg'));
  assert.ok(!one('UI', '1.2.*', '1.2.3'), 'not in UIDs');
  const started = performance.now();
  assert.ok(!one('LO', `${'*a'.repeat(30)}b`, 'a'.repeat(64)));
  assert.ok(performance.now() - started < 10_000, 'and never for ever');
});

test('lists of UIDs', () => {
  assert.ok(matches('UI', ['1.2', '1.3'], ['1.3']));
  assert.ok(!matches('UI', ['1.2', '1.3'], ['1.4']));
});

test('dates and times: values, ranges and their open ends', () => {
  assert.ok(one('DA', '20240229', '20240229'));
  assert.ok(one('DA', '20240229', '2024.02.29'));
  assert.ok(one('DA', '20240101-20241231', '20240229'));
  assert.ok(!one('DA', '20240301-', '20240229'));
  assert.ok(one('DA', '-20240229', '20240229'));
  assert.ok(!matches('DA', ['20240101-'], []));
  assert.ok(one('TM', '10', '105959.5'));
  assert.ok(!one('TM', '10', '110000'));
  assert.ok(one('TM', '1000-1015', '101559.999999'));
  assert.ok(one('TM', '10:00:00-10:15:00', '101500'));
  assert.ok(!one('TM', '1016-', '101559'));
  assert.ok(one('DT', '20240101-20241231', '20240229101500'));
});
