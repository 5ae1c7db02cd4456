/**
 * Routing rules: which model corrects an instance and where the result goes, from header attributes only.
 */

export interface Rule {
  name: string;
  /**
   * DICOM keyword → wanted value or values. Compared without regard to case against every value of the
   * attribute; `*` stands for any characters; a leading `!` excludes. All keywords must hold; of a list one
   * positive value must match and no excluded one may.
   */
  when: Readonly<Record<string, string | readonly string[]>>;
  /** Model that corrects; a rule without one keeps what it matches and leaves it alone. */
  model?: string | undefined;
  /** Names of the destinations. */
  to: readonly string[];
  /** Whole series at once (default) or every slice as soon as it is corrected. */
  deliver?: 'series' | 'slice' | undefined;
  /** Milliseconds without a new instance, and since the first, after which the series counts as complete. */
  complete?: { quiet?: number | undefined; maxAge?: number | undefined } | undefined;
  /** `until accepted`: nothing is delivered before a person has looked and accepted. Default `no`. */
  hold?: 'no' | 'until accepted' | undefined;
  /** What the correction is to flag, skip and pass through; nothing is known about it here. */
  safeguards?: object | undefined;
  /** Higher is corrected and delivered first. Default 0. */
  priority?: number | undefined;
}

export interface Subject {
  /** Values of an attribute by its keyword (PS3.6), as text; empty when absent. */
  values(keyword: string): string[];
  /** "What may be corrected", from the header. */
  correctable(): { ok: true } | { ok: false; reason: string };
  /** How the object is known as this server's own output; undefined when it is not. */
  own(): string | undefined;
}

export type Classification =
  | { kind: 'correct'; rule: Rule & { model: string } }
  | { kind: 'left-alone'; reason: string; rule?: Rule };

/** Decides what becomes of an instance. The first rule that matches decides; the reason is for people. */
export function classify(rules: readonly Rule[], subject: Subject): Classification {
  const own = subject.own();
  if (own !== undefined) return { kind: 'left-alone', reason: `output of this server coming back (${own})` };
  const correctable = subject.correctable();
  if (!correctable.ok) return { kind: 'left-alone', reason: correctable.reason };
  const misses: string[] = [];
  for (const rule of rules) {
    const miss = firstMiss(rule, subject);
    if (miss !== undefined) {
      misses.push(`${rule.name}: ${miss}`);
      continue;
    }
    if (rule.model === undefined) return { kind: 'left-alone', reason: `by rule "${rule.name}"`, rule };
    return { kind: 'correct', rule: { ...rule, model: rule.model } };
  }
  return {
    kind: 'left-alone',
    reason: rules.length === 0 ? 'no rules are configured' : `no rule matches (${misses.join('; ')})`,
  };
}

/** The keyword of the first condition that does not hold, with the value found; patient attributes unnamed. */
function firstMiss(rule: Rule, subject: Subject): string | undefined {
  for (const [keyword, wanted] of Object.entries(rule.when)) {
    const values = subject.values(keyword).filter((value) => value !== '');
    if (conditionHolds(typeof wanted === 'string' ? [wanted] : wanted, values)) continue;
    if (values.length === 0) return `${keyword} is absent`;
    return describable.test(keyword)
      ? `${keyword} is ${values.join('\\').slice(0, 64)}`
      : `${keyword} differs`;
  }
  return undefined;
}

/** Attributes whose values cannot identify a patient and may be shown in a reason. */
const describable =
  /^(Modality|BodyPartExamined|ImageType|Manufacturer|ManufacturerModelName|ScanningSequence|SequenceVariant|MRAcquisitionType|SOPClassUID|MagneticFieldStrength|ComplexImageComponent|AcquisitionContrast)$/;

/** Whether one positive pattern matches one value (if there are positive ones) and no excluded one does. */
export function conditionHolds(wanted: readonly string[], values: readonly string[]): boolean {
  const excluded = wanted.filter((pattern) => pattern.startsWith('!')).map((pattern) => pattern.slice(1));
  const positive = wanted.filter((pattern) => !pattern.startsWith('!'));
  if (excluded.some((pattern) => values.some((value) => matches(pattern, value)))) return false;
  return positive.length === 0 || positive.some((pattern) => values.some((value) => matches(pattern, value)));
}

function matches(pattern: string, value: string): boolean {
  return globOf(pattern).test(value.trim());
}

const globs = new Map<string, RegExp>();

function globOf(pattern: string): RegExp {
  let glob = globs.get(pattern);
  if (glob === undefined) {
    const source = pattern
      .trim()
      .split('*')
      .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*');
    glob = new RegExp(`^${source}$`, 'is');
    globs.set(pattern, glob);
  }
  return glob;
}
