/** What a reader study found: agreement of the readers, and whether corrected and original differ. */
import { cohenKappa, signedRankTest, signTest } from './statistics.js';
import { type Rating, SCORES, type Score } from './store.js';

export interface Agreement {
  readers: [string, string];
  measure: 'preference' | `${Score}, original` | `${Score}, corrected`;
  weights: 'none' | 'quadratic';
  /** Cases that both have rated. */
  cases: number;
  /** NaN where it is not defined. */
  kappa: number;
}

export interface PairedResult {
  /** A reader, or "all": the mean of the readers for each case. */
  reader: string;
  measure: Score;
  cases: number;
  meanOriginal: number;
  meanCorrected: number;
  /** Pairs that differ. */
  pairs: number;
  statistic: number;
  p: number;
  method: 'exact' | 'normal';
}

export interface PreferenceResult {
  reader: string;
  corrected: number;
  original: number;
  equal: number;
  /** Of the sign test, two-sided, without the equal ones. */
  p: number;
}

export interface StudyResults {
  agreement: Agreement[];
  paired: PairedResult[];
  preference: PreferenceResult[];
}

const ALL = 'all';
const PREFERENCES = ['original', 'equal', 'corrected'] as const;
const POINTS = 5;

function mean(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : values.reduce((sum, value) => sum + value, 0) / values.length;
}

function agreementOf(ratings: readonly Rating[], readers: readonly string[]): Agreement[] {
  const found: Agreement[] = [];
  for (const [i, one] of readers.entries()) {
    for (const other of readers.slice(i + 1)) {
      const theirs = new Map(ratings.filter(({ reader }) => reader === other).map((r) => [r.number, r]));
      const pairs = ratings.flatMap((rating): [Rating, Rating][] => {
        const match = rating.reader === one ? theirs.get(rating.number) : undefined;
        return match ? [[rating, match]] : [];
      });
      const add = (
        measure: Agreement['measure'],
        weights: Agreement['weights'],
        categories: number,
        of: (rating: Rating) => number,
      ) =>
        found.push({
          readers: [one, other],
          measure,
          weights,
          cases: pairs.length,
          kappa: cohenKappa(
            pairs.map(([rating]) => of(rating)),
            pairs.map(([, rating]) => of(rating)),
            categories,
            weights,
          ),
        });
      add('preference', 'none', PREFERENCES.length, ({ preferred }) => PREFERENCES.indexOf(preferred));
      for (const score of SCORES) {
        add(`${score}, original`, 'quadratic', POINTS, ({ original }) => original[score] - 1);
        add(`${score}, corrected`, 'quadratic', POINTS, ({ corrected }) => corrected[score] - 1);
      }
    }
  }
  return found;
}

function pairedOf(reader: string, cases: readonly Rating[][]): PairedResult[] {
  return SCORES.map((measure) => {
    const original = cases.map((ratings) => mean(ratings.map((rating) => rating.original[measure])));
    const corrected = cases.map((ratings) => mean(ratings.map((rating) => rating.corrected[measure])));
    // Means of whole scores: what differs by rounding alone is equal.
    const test = signedRankTest(corrected.map((value, i) => Math.round((value - original[i]!) * 1e9) / 1e9));
    return {
      reader,
      measure,
      cases: cases.length,
      meanOriginal: mean(original),
      meanCorrected: mean(corrected),
      ...test,
    };
  });
}

/** Unblinds and evaluates the ratings of a study. */
export function resultsOf(ratings: readonly Rating[]): StudyResults {
  const readers = [...new Set(ratings.map(({ reader }) => reader))].sort();
  const numbers = [...new Set(ratings.map(({ number }) => number))].sort((a, b) => a - b);
  const of = (reader: string) => ratings.filter((rating) => reader === ALL || rating.reader === reader);
  const groups = readers.length > 1 ? [ALL, ...readers] : readers;
  return {
    agreement: agreementOf(ratings, readers),
    paired: groups.flatMap((reader) =>
      pairedOf(
        reader,
        numbers
          .map((number) => of(reader).filter((rating) => rating.number === number))
          .filter(({ length }) => length > 0),
      ),
    ),
    preference: groups.map((reader) => {
      const count = (preferred: Rating['preferred']) =>
        of(reader).filter((rating) => rating.preferred === preferred).length;
      const [corrected, original, equal] = [count('corrected'), count('original'), count('equal')];
      return { reader, corrected, original, equal, p: signTest(corrected, original) };
    }),
  };
}

/** RFC 4180; what a spreadsheet would take for a formula is marked as text. */
function cell(value: string | number): string {
  if (typeof value === 'number') return Number.isFinite(value) ? String(Number(value.toPrecision(6))) : '';
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function csv(rows: readonly (readonly (string | number)[])[]): string {
  return `${rows.map((row) => row.map(cell).join(',')).join('\r\n')}\r\n`;
}

/** One line for each rating, unblinded. */
export function ratingsCsv(ratings: readonly Rating[]): string {
  return csv([
    [
      'case',
      'series',
      'reader',
      'preferred',
      'corrected_side',
      ...SCORES.map((score) => `${score}_original`),
      ...SCORES.map((score) => `${score}_corrected`),
      'comment',
      'seconds',
      'rated_at',
    ],
    ...ratings.map((rating) => [
      rating.number + 1,
      rating.series,
      rating.reader,
      rating.preferred,
      rating.correctedSide,
      ...SCORES.map((score) => rating.original[score]),
      ...SCORES.map((score) => rating.corrected[score]),
      rating.comment,
      Math.round(rating.seconds),
      new Date(rating.at).toISOString(),
    ]),
  ]);
}

/** One line for each figure: kappas, signed rank tests, preferences. */
export function statisticsCsv({ agreement, paired, preference }: StudyResults): string {
  return csv([
    ['what', 'reader', 'other_reader', 'measure', 'cases', 'value', 'p', 'detail'],
    ...agreement.map(({ readers, measure, weights, cases, kappa }) => [
      weights === 'none' ? "Cohen's kappa" : "Cohen's kappa, quadratic weights",
      ...readers,
      measure,
      cases,
      kappa,
      '',
      '',
    ]),
    ...paired.map((one) => [
      'Wilcoxon signed rank test, corrected against original',
      one.reader,
      '',
      one.measure,
      one.cases,
      one.statistic,
      one.p,
      `${one.method}, ${one.pairs} pairs differ; mean ${one.meanOriginal.toFixed(3)} original and ${one.meanCorrected.toFixed(3)} corrected`,
    ]),
    ...preference.map(({ reader, corrected, original, equal, p }) => [
      'Sign test of the preference',
      reader,
      '',
      'preference',
      corrected + original + equal,
      corrected,
      p,
      `${corrected} corrected and ${original} original preferred; ${equal} equal`,
    ]),
  ]);
}
