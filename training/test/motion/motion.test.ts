import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createRandom } from '../../data/index.js';
import {
  apply3,
  composePoses,
  generateTrace,
  inPlanePoses,
  invertPose,
  MOTION_PATTERNS,
  type MotionTrace,
  movePivot,
  parseTrace,
  poseFromParameters,
  referencePoses,
  resampleTrace,
  rigidPoses,
  TraceError,
  type Vector3,
} from '../../motion/index.js';

const angle = fc.double({ min: -0.6, max: 0.6, noNaN: true });
const shift = fc.double({ min: -20, max: 20, noNaN: true });
const pose = fc.tuple(shift, shift, shift, angle, angle, angle).map(poseFromParameters);

function close(a: readonly number[], b: readonly number[], tolerance = 1e-9): void {
  a.forEach((value, i) => {
    assert.ok(Math.abs(value - b[i]!) < tolerance, `${a} is not ${b}`);
  });
}

function moved(p: ReturnType<typeof poseFromParameters>, point: Vector3): number[] {
  const turned = apply3(p.rotation, point);
  return [0, 1, 2].map((i) => turned[i]! + p.translation[i]!);
}

test('a pose and its inverse are the identity; composition is composition', () => {
  fc.assert(
    fc.property(pose, pose, (a, b) => {
      const point: Vector3 = [3, -7, 11];
      close(moved(composePoses(a, invertPose(a)), point), [...point]);
      close(moved(composePoses(a, b), point), moved(a, moved(b, point) as unknown as Vector3));
    }),
    { seed: 5, numRuns: 60 },
  );
});

test('a moved pivot describes the same motion', () => {
  fc.assert(
    fc.property(pose, (p) => {
      const from: Vector3 = [4, 5, -30];
      const to: Vector3 = [0, -12, 8];
      const point: Vector3 = [10, 20, 30];
      const about = (q: typeof p, pivot: Vector3): number[] => {
        const turned = moved(q, [0, 1, 2].map((i) => point[i]! - pivot[i]!) as unknown as Vector3);
        return turned.map((value, i) => value + pivot[i]!);
      };
      close(about(movePivot(p, from, to), to), about(p, from));
    }),
    { seed: 6, numRuns: 60 },
  );
});

test('poses relative to the centre of k-space: identity there, differences kept', () => {
  fc.assert(
    fc.property(fc.array(pose, { minLength: 3, maxLength: 9 }), (poses) => {
      const relative = referencePoses(poses);
      const centre = Math.floor(poses.length / 2);
      const point: Vector3 = [1, 2, 3];
      close(moved(relative[centre]!, point), [...point]);
      const seen = moved(poses[centre]!, point) as unknown as Vector3;
      relative.forEach((p, i) => {
        close(moved(p, seen), moved(poses[i]!, point));
      });
    }),
    { seed: 7, numRuns: 40 },
  );
});

function constantRates(points: number, rates: number[]): MotionTrace {
  const parameters = new Float64Array(points * 6);
  for (let i = 0; i < points; i++) for (let j = 0; j < 6; j++) parameters[i * 6 + j] = rates[j]! * i;
  return { name: 'rates', points, parameters };
}

test('the in-plane part of a pose is the six-degree pose seen in the plane', () => {
  // motion within one plane only: then the 3D pose acts on the plane's points as the 2D one does
  const cases = [
    { plane: 'sagittal', rates: [0, 0.02, 0.05, 0.003, 0, 0], row: 2, column: 1 },
    { plane: 'axial', rates: [0.03, 0.02, 0, 0, 0, 0.004], row: 1, column: 0 },
    { plane: 'coronal', rates: [0.03, 0, 0.06, 0, 0.002, 0], row: 2, column: 0 },
  ] as const;
  for (const { plane, rates, row, column } of cases) {
    const trace = constantRates(33, [...rates]);
    const options = { factor: 3, lines: 33, smoothing: 0 };
    const flat = inPlanePoses(trace, { ...options, plane, motion: 'rotation+translation' });
    const solid = rigidPoses(trace, options);
    for (const line of [0, 5, 16, 32]) {
      const point: [number, number, number] = [0, 0, 0];
      point[row] = -12;
      point[column] = -34;
      const [x, y] = [34, 12];
      const a = flat.angle[line]!;
      const to = moved(solid[line]!, point);
      close(
        [-to[column]!, -to[row]!],
        [
          x * Math.cos(a) - y * Math.sin(a) + flat.shiftColumns[line]!,
          x * Math.sin(a) + y * Math.cos(a) + flat.shiftRows[line]!,
        ],
        1e-9,
      );
    }
    const turnedOnly = inPlanePoses(trace, { ...options, plane, motion: 'rotation' });
    assert.ok(turnedOnly.shiftRows.every((value) => Math.abs(value) === 0));
    assert.deepEqual(turnedOnly.angle, flat.angle);
  }
});

test('resampling keeps straight lines and end points, and smooths steps', () => {
  const trace = constantRates(40, [1, 0, 0, 0, 0, 0.001]);
  const out = resampleTrace(trace, 79, 0);
  for (let line = 0; line < 79; line++) {
    if (line < 2 || line > 76) continue;
    assert.ok(Math.abs(out[line * 6]! - line / 2) < 1e-9);
  }
  assert.throws(() => resampleTrace(trace, 10, 0, [30, 20]), /window of 20 from 30 does not fit/);
});

const rows = (make: (i: number) => string): string =>
  Array.from({ length: 20 }, (_, i) => make(i)).join('\n');

test('TSV, FSL .par and SPM rp_*.txt give the same trace', () => {
  const tsv = `rot_x\ttrans_x\ttrans_y\ttrans_z\trot_y\trot_z\tfd\n${rows((i) => `0.001\t${i}\t0.2\t0.3\t0.002\t0.003\tn/a`)}\n`;
  const par = rows((i) => `0.001  0.002  0.003  ${i}  0.2  0.3  `);
  const spm = rows((i) => `  ${i}.0e+00  2.0e-01  3.0e-01  1.0e-03  2.0e-03  3.0e-03`);
  const a = parseTrace(tsv, 'a.tsv', 'a');
  assert.deepEqual(parseTrace(par, 'a.par', 'a'), a);
  assert.deepEqual(parseTrace(spm, '/x/rp_a.txt', 'a'), a);
  assert.deepEqual([...a.parameters.subarray(6, 12)], [1, 0.2, 0.3, 0.001, 0.002, 0.003]);
});

test('unusable traces are refused with a sentence naming the file', () => {
  const cases: [string, string, RegExp][] = [
    [Array(5).fill('0 0 0 0 0 0').join('\n'), 'a.par', /a\.par: too short, 5 time points/],
    [rows((i) => `0 0 0 ${i % 3} 0 0.1`), 'rp_a.txt', /look like degrees/],
    [rows((i) => `0.3 0.01 0 0 0.01 ${i % 2 === 0 ? 0.02 : 0}`), 'b.par', /look like degrees/],
    [rows((i) => `0 0 0.001 ${100 * i} 0 0`), 'a.par', /look like micrometres/],
    [
      rows((i) => `0 0 0 ${i === 7 ? 'nan' : 1} 0 0`),
      'a.par',
      /line 8, trans_x: "nan" is not a finite number/,
    ],
    [rows(() => '0 0 0 0 0'), 'rp_a.txt', /line 1, rot_z: "" is not a finite/],
    [`trans_x\ttrans_y\n${rows(() => '0\t0')}`, 'a.tsv', /lacks trans_z, rot_x, rot_y, rot_z/],
    [rows(() => '0 0 0 0 0 0'), 'a.csv', /not a known motion trace/],
  ];
  for (const [text, file, expected] of cases) {
    assert.throws(
      () => parseTrace(text, file, 'a'),
      (error: unknown) => error instanceof TraceError && expected.test(error.message),
      `${file}: ${expected}`,
    );
  }
});

test('synthetic traces: deterministic, finite, of the size asked for', () => {
  for (const pattern of MOTION_PATTERNS) {
    const a = generateTrace(createRandom(11), { pattern, points: 100 });
    assert.deepEqual(generateTrace(createRandom(11), { pattern, points: 100 }), a);
    assert.equal(a.parameters.length, 600);
    assert.ok(a.parameters.every(Number.isFinite));
    const double = generateTrace(createRandom(11), { pattern, points: 100, amplitude: 0.4 });
    a.parameters.forEach((value, i) => {
      assert.ok(Math.abs(double.parameters[i]! - 2 * value) < 1e-9);
    });
  }
});
