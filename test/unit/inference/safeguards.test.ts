import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../../../src/config/index.js';
import {
  backgroundGhosts,
  DEFAULT_SAFEGUARDS,
  decide,
  domainFlags,
  flagsOf,
  severityOf,
} from '../../../src/inference/index.js';

function subject(values: Record<string, string[]>, rows = 256, columns = 256) {
  return {
    rows,
    columns,
    orientation: [0, 1, 0, 0, 0, -1],
    values: (keyword: string) => values[keyword] ?? [],
  };
}
const T1 = { modality: 'MR', bodyPart: ['BRAIN'], contrast: 'T1' };
const times = (sequence: string, TR: number, TE: number, TI?: number) => ({
  ScanningSequence: [sequence],
  RepetitionTime: [String(TR)],
  EchoTime: [String(TE)],
  ...(TI !== undefined && { InversionTime: [String(TI)] }),
});

test('the domain: contrast by header, matrix and plane by manifest; what is not said is not held against it', () => {
  const kinds = (values: Record<string, string[]>, intended = {}, rows?: number) =>
    domainFlags(subject(values, rows), { ...T1, ...intended }).map(({ kind }) => kind);
  assert.deepEqual(kinds(times('GR', 2300, 3, 900)), []);
  assert.deepEqual(kinds(times('SE', 500, 12)), []);
  assert.deepEqual(kinds({}), []);
  assert.deepEqual(kinds(times('SE', 4000, 90)), ['contrast']);
  assert.deepEqual(kinds(times('SE', 9000, 120, 2500)), ['contrast']);
  assert.deepEqual(kinds(times('EP', 5000, 80)), ['contrast']);
  assert.deepEqual(kinds({ AcquisitionContrast: ['T2'] }), ['contrast']);
  assert.deepEqual(kinds({ AcquisitionContrast: ['UNKNOWN'] }), []);
  assert.deepEqual(kinds({}, { planes: ['sagittal'], matrix: [128, 256] }), []);
  assert.deepEqual(kinds({}, { planes: ['axial'], matrix: [128, 256] }, 512), ['matrix', 'orientation']);
});

test('what is decided about a frame, and how the instance says so', () => {
  const frame = { severity: 0.01, residualEnergy: 0.001, outOfDomain: false };
  assert.deepEqual(decide(DEFAULT_SAFEGUARDS, frame), { kind: 'correct' });
  const careful = { ...DEFAULT_SAFEGUARDS, skipBelow: 0.02, onFlag: 'pass through' as const };
  assert.deepEqual(decide(careful, frame), { kind: 'skip' });
  assert.deepEqual(decide(careful, { ...frame, severity: 0.3 }), { kind: 'correct' });
  assert.deepEqual(decide(careful, { ...frame, outOfDomain: true }), { kind: 'flag', passThrough: true });
  const strong = { severity: 0.5, residualEnergy: 0.2 };
  assert.deepEqual(decide(DEFAULT_SAFEGUARDS, { ...strong, outOfDomain: false }), {
    kind: 'flag',
    passThrough: false,
  });
  const flags = flagsOf(
    careful,
    [],
    [
      { ...strong, decision: { kind: 'flag', passThrough: true } },
      { ...frame, decision: { kind: 'skip' } },
      { ...frame, severity: 0.3, decision: { kind: 'correct' } },
    ],
  );
  assert.deepEqual(
    flags.map(({ kind, message }) => [kind, message]),
    [
      ['residual', 'the network would change 20.00 % of the energy, more than 5 % in frame 1'],
      ['skipped', 'not corrected, estimated severity of motion 0.010 is below 0.02 in frame 2'],
    ],
  );
});

test('the figures of a flag are read as the rule has them, and never contradict it', () => {
  const decision = { kind: 'flag', passThrough: false } as const;
  const frames = [{ decision, severity: 0.5, residualEnergy: 0.0704 }];
  assert.deepEqual(
    flagsOf({ ...DEFAULT_SAFEGUARDS, maxResidual: 0.07 }, [], frames).map(({ message }) => message),
    ['the network would change 7.04 % of the energy, more than 7 %'],
  );
  const skipped = [{ decision: { kind: 'skip' } as const, severity: 0.0184, residualEnergy: 0 }];
  assert.deepEqual(
    flagsOf({ ...DEFAULT_SAFEGUARDS, skipBelow: 0.02 }, [], skipped).map(({ message }) => message),
    ['not corrected, estimated severity of motion 0.018 is below 0.02'],
  );
});

test('ghosts beside the head raise the estimate, where the phase is encoded', () => {
  const size = 64;
  const image = (ghost: number) =>
    Float32Array.from({ length: size * size }, (_, i) => {
      const [x, y] = [(i % size) - 32, Math.floor(i / size) - 32];
      if (x * x + y * y < 20 * 20) return 1000;
      return Math.abs(y) < 10 ? ghost : 0;
    });
  assert.equal(backgroundGhosts(image(0), size, size), 0);
  const along = backgroundGhosts(image(50), size, size, 'ROW');
  assert.ok(along > 5e-4 && along < 2.6e-3, String(along));
  assert.ok(backgroundGhosts(image(50), size, size, 'COL') < along / 2);
  assert.equal(backgroundGhosts(new Float32Array(size * size), size, size), 0);
  assert.equal(severityOf(0, 0), 0);
  assert.ok(severityOf(0.004, 0.003) > 0.3 && severityOf(0.004, 0.003) < 0.45);
  assert.equal(severityOf(1, 1), 1);
});

test('what holds without a rule is what a rule holds by default', () => {
  assert.deepEqual(loadConfig().rules[0]?.safeguards, DEFAULT_SAFEGUARDS);
});
