/** Reader studies in the archive's database. */
import { randomBytes } from 'node:crypto';
import type { Archive } from '../archive/index.js';
import { type Side, type Turn, turnsOf } from './design.js';

/** What is rated, from 1 (worst) to 5 (best). */
export const SCORES = ['artefact', 'sharpness', 'confidence'] as const;
export type Score = (typeof SCORES)[number];
export type Scores = Record<Score, number>;
export type Preference = 'original' | 'corrected' | 'equal';

export interface ReaderStudy {
  id: string;
  name: string;
  createdBy: string;
  createdAt: number;
  cases: { number: number; study: string; series: string }[];
}

/** What a reader sends about a case. */
export interface Answer {
  preferred: Side | 'equal';
  left: Scores;
  right: Scores;
  comment: string;
  /** How long the case was looked at. */
  seconds: number;
}

/** A rating, unblinded. */
export interface Rating {
  reader: string;
  number: number;
  series: string;
  preferred: Preference;
  correctedSide: Side;
  original: Scores;
  corrected: Scores;
  comment: string;
  seconds: number;
  at: number;
}

export interface ReaderStudies {
  /** @param series source series, each with its study */
  create(of: {
    name: string;
    createdBy: string;
    series: readonly { study: string; series: string }[];
  }): Promise<ReaderStudy>;
  list(): ReaderStudy[];
  get(id: string): ReaderStudy | undefined;
  /** How many cases a reader has rated. */
  rated(id: string, reader: string): number;
  /** The case that a reader rates next; undefined when all are rated. */
  next(id: string, reader: string): Turn | undefined;
  /** What stands behind a token. */
  turn(id: string, reader: string, token: string): (Turn & { study: string; series: string }) | undefined;
  /** Keeps a rating for good; a case that is rated again has the later rating. */
  rate(id: string, reader: string, turn: Turn, answer: Answer): Promise<void>;
  ratings(id: string): Rating[];
}

interface RatingRow {
  reader: string;
  number: number;
  series: string;
  preferred: Preference;
  corrected_side: Side;
  scores: string;
  comment: string;
  seconds: number;
  at: number;
}

/** Keeps reader studies beside the series that they are about. */
export function createReaderStudies(archive: Pick<Archive, 'db' | 'clock' | 'audit'>): ReaderStudies {
  const { db, clock } = archive;

  const casesOf = (id: string) =>
    db
      .all<{ number: number; study: string; series: string }>(
        'SELECT number, study, series FROM reader_cases WHERE reader_study = ? ORDER BY number',
        id,
      )
      .map((one) => ({ ...one }));

  function get(id: string): ReaderStudy | undefined {
    const row = db.get<{ id: string; name: string; created_by: string; created_at: number }>(
      'SELECT id, name, created_by, created_at FROM reader_studies WHERE id = ?',
      id,
    );
    return (
      row && {
        id: row.id,
        name: row.name,
        createdBy: row.created_by,
        createdAt: row.created_at,
        cases: casesOf(id),
      }
    );
  }

  function turns(id: string, reader: string): Turn[] {
    const row = db.get<{ secret: string }>('SELECT secret FROM reader_studies WHERE id = ?', id);
    return row === undefined
      ? []
      : turnsOf(
          row.secret,
          reader,
          casesOf(id).map(({ number }) => number),
        );
  }

  const ratedNumbers = (id: string, reader: string) =>
    new Set(
      db
        .all<{ number: number }>(
          'SELECT number FROM reader_ratings WHERE reader_study = ? AND reader = ?',
          id,
          reader,
        )
        .map(({ number }) => number),
    );

  return {
    get,
    async create({ name, createdBy, series }) {
      const id = randomBytes(9).toString('base64url');
      await db.commit(() => {
        db.run(
          'INSERT INTO reader_studies (id, name, secret, created_by, created_at) VALUES (?, ?, ?, ?, ?)',
          id,
          name,
          randomBytes(32).toString('hex'),
          createdBy,
          clock.now(),
        );
        for (const [number, of] of series.entries()) {
          db.run('INSERT INTO reader_cases VALUES (?, ?, ?, ?)', id, number, of.study, of.series);
        }
        archive.audit('reader study created', { detail: `${id} by ${createdBy}` });
      });
      return get(id)!;
    },
    list: () =>
      db
        .all<{ id: string }>('SELECT id FROM reader_studies ORDER BY created_at DESC, id')
        .map(({ id }) => get(id)!),
    rated: (id, reader) => ratedNumbers(id, reader).size,
    next(id, reader) {
      const rated = ratedNumbers(id, reader);
      return turns(id, reader).find(({ number }) => !rated.has(number));
    },
    turn(id, reader, token) {
      const turn = turns(id, reader).find((one) => one.token === token);
      const of = turn && casesOf(id).find(({ number }) => number === turn.number);
      return turn && of && { ...turn, study: of.study, series: of.series };
    },
    async rate(id, reader, turn, answer) {
      const { preferred } = answer;
      const corrected = answer[turn.correctedSide];
      const original = answer[turn.correctedSide === 'left' ? 'right' : 'left'];
      await db.commit(() => {
        db.run(
          'INSERT OR REPLACE INTO reader_ratings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
          id,
          reader,
          turn.number,
          preferred === 'equal' ? 'equal' : preferred === turn.correctedSide ? 'corrected' : 'original',
          turn.correctedSide,
          JSON.stringify({ original, corrected }),
          answer.comment,
          answer.seconds,
          clock.now(),
        );
      });
    },
    ratings: (id) =>
      db
        .all<RatingRow>(
          `SELECT r.reader, r.number, c.series, r.preferred, r.corrected_side, r.scores, r.comment, r.seconds, r.at
           FROM reader_ratings r JOIN reader_cases c ON c.reader_study = r.reader_study AND c.number = r.number
           WHERE r.reader_study = ? ORDER BY r.number, r.reader`,
          id,
        )
        .map(({ corrected_side: correctedSide, scores, ...row }) => ({
          ...row,
          correctedSide,
          ...(JSON.parse(scores) as { original: Scores; corrected: Scores }),
        })),
  };
}
