import { test } from 'node:test';

test('peers scaffold', () => {});
