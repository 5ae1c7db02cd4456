import type { Fetch } from '../fetch/index.js';
import { ask, type ServerAddress } from './client.js';

/** Which series are meant; see `POST /api/fetch`. */
export interface FetchRequest {
  source: string;
  study?: string;
  series?: string;
  accessionNumber?: string;
  patientId?: string;
  studyDate?: string;
  modality?: string;
  seriesDescription?: string;
}

/** Asks a running server to fetch series. @throws ClientError */
export async function requestFetch(server: ServerAddress, request: FetchRequest): Promise<Fetch[]> {
  const { fetches } = await ask<{ fetches: Fetch[] }>(server, '/api/fetch', 'POST', request);
  return fetches;
}

/** One fetch. @throws ClientError */
export function showFetch(server: ServerAddress, id: number): Promise<Fetch> {
  return ask(server, `/api/fetch/${id}`);
}

/** Fetches, the latest first. @throws ClientError */
export async function listFetches(server: ServerAddress, limit: number): Promise<Fetch[]> {
  const { fetches } = await ask<{ fetches: Fetch[] }>(server, `/api/fetch?limit=${limit}`);
  return fetches;
}
