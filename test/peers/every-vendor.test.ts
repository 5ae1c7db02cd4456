/** One file of every transfer syntax in every vendor's folder; test/slow has all files. */
import { test } from 'node:test';
import { everyVendor } from './support/every-vendor.js';

test('every vendor and transfer syntax: received, stored as sent, classified, corrected or left alone, derived valid', (t) =>
  everyVendor(t, 1));
