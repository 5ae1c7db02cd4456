import type { CaseView, ReaderStudyView } from '../../views.js';
import { get, post, ROOT } from '../api.js';

export type { CaseView, ReaderStudyView };

export interface Scores {
  artefact: number;
  sharpness: number;
  confidence: number;
}

export interface Rating {
  preferred: 'left' | 'right' | 'equal';
  left: Scores;
  right: Scores;
  comment: string;
  seconds: number;
}

export interface Next {
  name: string;
  cases: number;
  rated: number;
  case: CaseView | null;
}

const as = (reader: string) => `reader=${encodeURIComponent(reader)}`;

export const listStudies = (reader: string) =>
  get<{ reader: string | null; studies: ReaderStudyView[] }>(
    `api/reader-studies${reader === '' ? '' : `?${as(reader)}`}`,
  );
export const createStudy = (name: string, series: readonly string[]) =>
  post<ReaderStudyView>('api/reader-studies', { name, series });
export const nextCase = (study: string, reader: string) =>
  get<Next>(`api/reader-studies/${study}/next?${as(reader)}`);
export const rate = (study: string, reader: string, token: string, rating: Rating) =>
  post<unknown>(`api/reader-studies/${study}/cases/${token}?${as(reader)}`, rating);

/** Stored values of one slice of one side. */
export async function framesOf(
  study: string,
  reader: string,
  token: string,
  side: 'left' | 'right',
  index: number,
): Promise<ArrayBuffer> {
  const path = `api/reader-studies/${study}/cases/${token}/${side}/${index}?${as(reader)}`;
  const response = await fetch(new URL(path, ROOT));
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return response.arrayBuffer();
}
