/** What keeps a correction from doing harm: where it is not needed, not understood, or too strong, it says so. */
import type { ModelManifest } from './manifest.js';

/** What a rule asks for. */
export interface Safeguards {
  /** Slices whose estimated severity is below this stay as they are; undefined: every slice is corrected. */
  skipBelow?: number | undefined;
  /** A change of more energy than this, relative to that of the slice, is flagged. */
  maxResidual: number;
  /** Whether what the model is not made for is flagged. */
  domain: 'check' | 'off';
  /** Whether a flagged slice is corrected all the same, or stays as it is. */
  onFlag: 'deliver' | 'pass through';
}

export type FlagKind = 'skipped' | 'residual' | 'contrast' | 'matrix' | 'orientation';

/** A remark about a derived instance. */
export interface Flag {
  kind: FlagKind;
  /** Printable ASCII: it stands in the object. */
  message: string;
}

/** Three times the largest seen in validation on simulated motion, however severe. */
export const DEFAULT_SAFEGUARDS: Safeguards = { maxResidual: 0.05, domain: 'check', onFlag: 'deliver' };

/** What the check of the domain needs to know about an image. */
export interface DomainSubject {
  rows: number;
  columns: number;
  /** Image Orientation (Patient); empty when absent. */
  orientation: readonly number[];
  /** Values of an attribute by its keyword; empty when absent. */
  values(keyword: string): readonly string[];
}

const PLANES = ['sagittal', 'coronal', 'axial'] as const;
export type Plane = (typeof PLANES)[number];

/** The plane that is nearest to an image's, within 45 degrees; undefined without an orientation. */
export function planeOf(orientation: readonly number[]): Plane | undefined {
  const [a, b, c, d, e, f] = orientation;
  if (a === undefined || b === undefined || c === undefined) return undefined;
  if (d === undefined || e === undefined || f === undefined) return undefined;
  const normal = [b * f - c * e, c * d - a * f, a * e - b * d].map(Math.abs);
  const largest = Math.max(...normal);
  return Number.isFinite(largest) && largest > 0 ? PLANES[normal.indexOf(largest)] : undefined;
}

/**
 * The contrast of an MR image, by Acquisition Contrast (0008,9209) where it is said, else by the sequence's times
 * (milliseconds). undefined where the header does not tell.
 */
export function contrastOf(subject: Pick<DomainSubject, 'values'>): string | undefined {
  const first = (keyword: string) => subject.values(keyword)[0]?.trim().toUpperCase();
  const stated = first('AcquisitionContrast');
  if (stated !== undefined && stated !== '' && stated !== 'UNKNOWN') {
    return stated === 'PROTON_DENSITY' ? 'PD' : stated;
  }
  const time = (keyword: string) => {
    const value = Number(first(keyword) ?? Number.NaN);
    return Number.isFinite(value) && value > 0 ? value : undefined;
  };
  const sequence = subject.values('ScanningSequence').map((value) => value.trim().toUpperCase());
  const echo = time('EchoTime');
  const repetition = time('RepetitionTime');
  const inversion = time('InversionTime');
  if (sequence.includes('EP')) return 'EPI';
  if (echo === undefined || repetition === undefined) return undefined;
  if (echo >= 60) return inversion !== undefined && inversion > 1500 ? 'FLUID_ATTENUATED' : 'T2';
  if (sequence.includes('GR')) return echo < 15 ? 'T1' : 'T2_STAR';
  if (inversion !== undefined) return inversion < 1500 ? 'T1' : undefined;
  if (sequence.includes('SE')) {
    if (echo <= 30 && repetition < 1200) return 'T1';
    if (echo <= 30 && repetition >= 1800) return 'PD';
  }
  return undefined;
}

/** What a model says that it is made for. */
export type Domain = ModelManifest['intended'];

/** Where an image leaves the model's domain. What header or manifest do not say is not held against it. */
export function domainFlags(subject: DomainSubject, intended: Domain): Flag[] {
  const flags: Flag[] = [];
  const contrast = contrastOf(subject);
  if (contrast !== undefined && contrast !== intended.contrast.toUpperCase()) {
    const message = `the image seems to be ${contrast}-weighted, the model is made for ${intended.contrast}`;
    flags.push({ kind: 'contrast', message });
  }
  const { matrix, planes } = intended;
  if (matrix !== undefined) {
    const [least, most] = matrix;
    const { rows, columns } = subject;
    if (Math.min(rows, columns) < least || Math.max(rows, columns) > most) {
      const message = `the matrix is ${rows} x ${columns}, the model is made for ${least} to ${most}`;
      flags.push({ kind: 'matrix', message });
    }
  }
  const plane = planeOf(subject.orientation);
  if (planes !== undefined && plane !== undefined && !planes.includes(plane)) {
    const message = `the slice is ${plane}, the model is made for ${planes.join(', ')}`;
    flags.push({ kind: 'orientation', message });
  }
  return flags;
}

/** What becomes of one frame. */
export type Decision = { kind: 'correct' } | { kind: 'skip' } | { kind: 'flag'; passThrough: boolean };

/** Decides about a frame from what the network would change about it. */
export function decide(
  safeguards: Safeguards,
  frame: { severity: number; residualEnergy: number; outOfDomain: boolean },
): Decision {
  if (frame.outOfDomain || frame.residualEnergy > safeguards.maxResidual) {
    return { kind: 'flag', passThrough: safeguards.onFlag === 'pass through' };
  }
  if (safeguards.skipBelow !== undefined && frame.severity < safeguards.skipBelow) return { kind: 'skip' };
  return { kind: 'correct' };
}

const FRAMES_NAMED = 20;

function namely(frames: readonly number[], count: number): string {
  if (count === 1) return '';
  if (frames.length === count) return ` in all ${count} frames`;
  const named = frames.slice(0, FRAMES_NAMED).map((frame) => frame + 1);
  const more = frames.length > FRAMES_NAMED ? ` and ${frames.length - FRAMES_NAMED} more` : '';
  return ` in frame${frames.length === 1 ? '' : 's'} ${named.join(', ')}${more}`;
}

/** The remarks about an instance, from what was decided about its frames. */
export function flagsOf(
  safeguards: Safeguards,
  domain: readonly Flag[],
  frames: readonly { decision: Decision; severity: number; residualEnergy: number }[],
): Flag[] {
  const flags = [...domain];
  const at = (holds: (frame: (typeof frames)[number]) => boolean) =>
    frames.flatMap((frame, index) => (holds(frame) ? [index] : []));
  const strong = at((frame) => frame.residualEnergy > safeguards.maxResidual);
  if (strong.length > 0) {
    const most = Math.max(...strong.map((index) => frames[index]!.residualEnergy));
    flags.push({
      kind: 'residual',
      message: `the network would change ${(100 * most).toFixed(2)} % of the energy, more than ${Number((100 * safeguards.maxResidual).toPrecision(12))} %${namely(strong, frames.length)}`,
    });
  }
  const skipped = at((frame) => frame.decision.kind === 'skip');
  if (skipped.length > 0) {
    const most = Math.max(...skipped.map((index) => frames[index]!.severity));
    flags.push({
      kind: 'skipped',
      message: `not corrected, estimated severity of motion ${most.toFixed(3)} is below ${safeguards.skipBelow}${namely(skipped, frames.length)}`,
    });
  }
  return flags;
}
