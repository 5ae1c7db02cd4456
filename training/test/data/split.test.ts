import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkSplit, makeSplit, readSplit, SPLIT_PARTS, subjectOf, writeSplit } from '../../data/index.js';

test('the known data sets keep their published split', () => {
  const names = [
    ...Array.from({ length: 50 }, (_, i) => `ds002748-sub-${String(i + 1).padStart(2, '0')}`),
    ...Array.from({ length: 11 }, (_, i) => `ds000011-sub-${String(i + 1).padStart(2, '0')}`),
    'brainchop-t1crop',
  ];
  const split = makeSplit(names);
  assert.deepEqual(split.test.length, 12);
  assert.deepEqual(split.validation, [
    'ds000011-sub-08',
    'ds002748-sub-38',
    'ds002748-sub-39',
    'ds002748-sub-40',
    'ds002748-sub-41',
  ]);
  assert.equal(split.training.length, 45);
  assert.ok(split.test.includes('ds002748-sub-42') && split.test.includes('ds000011-sub-09'));
});

test('other volumes are split by subject, deterministically, without a leak', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 4, max: 40 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer(),
      (subjects, sessions, seed) => {
        const names = Array.from({ length: subjects * sessions }, (_, i) => {
          return `sub-${Math.floor(i / sessions)}_ses-${i % sessions}_T1w`;
        });
        const split = makeSplit(names, seed);
        assert.equal(SPLIT_PARTS.flatMap((part) => split[part]).length, names.length);
        checkSplit(split);
        assert.deepEqual(makeSplit([...names].reverse(), seed), split);
      },
    ),
    { numRuns: 50, seed: 3 },
  );
  assert.equal(subjectOf('sub-07_ses-2_T1w'), 'sub-07');
});

test('a leak, a volume listed twice and too few subjects are refused by name', () => {
  assert.throws(
    () =>
      checkSplit({ training: ['sub-1_ses-1'], validation: ['sub-2'], test: ['sub-1_ses-2'] }, 'split.json'),
    /split\.json: subject sub-1 is in training and in test/,
  );
  assert.throws(
    () => checkSplit({ training: ['a', 'a'], validation: ['b'], test: ['c'] }),
    /a is listed twice/,
  );
  assert.throws(() => makeSplit(['sub-1', 'sub-2']), /cannot be split/);
});

test('split.json is written, read back, and refused when damaged', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mcnet-split-'));
  const file = join(folder, 'split.json');
  const split = makeSplit(['a', 'b', 'c', 'd', 'e']);
  writeSplit(file, split);
  assert.deepEqual(readSplit(file), split);
  writeFileSync(file, '{"training": ["a"]}');
  assert.throws(() => readSplit(file), /split\.json: must hold the lists/);
  writeFileSync(file, '{"training": ["a"], "validation": ["b"], "test": ["a"]}');
  assert.throws(() => readSplit(file), /listed twice|is in/);
});
