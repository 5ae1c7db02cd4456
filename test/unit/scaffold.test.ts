import { test } from 'node:test';

test('scaffold', () => {});
