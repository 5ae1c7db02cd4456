/** The least role of a person that each route of the page's API needs, for whoever guards them. */

export type PersonRole = 'viewer' | 'technologist' | 'admin';

export interface PageRoute {
  method: 'GET' | 'POST';
  /** As Express writes it. */
  path: string;
  role: PersonRole;
}

/** Every route that the page uses, except its own files. DICOMweb is read with the same session (viewer). */
export const PAGE_ROUTES: readonly PageRoute[] = [
  { method: 'GET', path: '/api/events', role: 'viewer' },
  { method: 'GET', path: '/api/status', role: 'viewer' },
  { method: 'GET', path: '/api/series', role: 'viewer' },
  { method: 'GET', path: '/api/series/:series', role: 'viewer' },
  { method: 'GET', path: '/api/series/:series/slices', role: 'viewer' },
  { method: 'GET', path: '/api/series/:series/reviews', role: 'viewer' },
  { method: 'GET', path: '/api/instances/:instance/preview.png', role: 'viewer' },
  { method: 'POST', path: '/api/series/:series/retry', role: 'technologist' },
  { method: 'POST', path: '/api/series/:series/reviews', role: 'technologist' },
  { method: 'GET', path: '/api/reader-studies', role: 'viewer' },
  { method: 'GET', path: '/api/reader-studies/:id/next', role: 'viewer' },
  { method: 'GET', path: '/api/reader-studies/:id/cases/:token/:side/:index', role: 'viewer' },
  { method: 'POST', path: '/api/reader-studies/:id/cases/:token', role: 'viewer' },
  { method: 'POST', path: '/api/reader-studies', role: 'admin' },
  { method: 'GET', path: '/api/reader-studies/:id/results', role: 'admin' },
  { method: 'GET', path: '/api/reader-studies/:id/ratings.csv', role: 'admin' },
  { method: 'GET', path: '/api/reader-studies/:id/statistics.csv', role: 'admin' },
];
