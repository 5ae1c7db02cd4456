import { test } from 'node:test';
import { everyVendor } from '../peers/support/every-vendor.js';

test('all files of every vendor: received, stored as sent, classified, corrected or left alone, derived valid', (t) =>
  everyVendor(t));
