import type { Role } from '../access/index.js';

/** Whom a route answers. */
export type Allowed = 'everyone' | readonly Role[];

export interface RouteAccess {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** As express has it: `/api/series/:series`; a `:name` stands for one segment. */
  path: string;
  allowed: Allowed;
}

const looks: readonly Role[] = ['viewer', 'technologist', 'admin'];
const decides: readonly Role[] = ['technologist', 'admin'];
const configures: readonly Role[] = ['admin'];
const reads: readonly Role[] = [...looks, 'reader'];
const sends: readonly Role[] = [...decides, 'sender'];
const watches: readonly Role[] = [...looks, 'monitor'];

const get = (path: string, allowed: Allowed): RouteAccess => ({ method: 'GET', path, allowed });
const post = (path: string, allowed: Allowed): RouteAccess => ({ method: 'POST', path, allowed });

/**
 * Every route and whom it answers; a route that is not listed answers admins only. Files of the page are looked at
 * like `get('/...', looks)`.
 */
export const ROUTE_ACCESS: readonly RouteAccess[] = [
  get('/healthz', watches),
  get('/readyz', watches),
  get('/metrics', watches),

  get('/login', 'everyone'),
  post('/login', 'everyone'),
  get('/login/start', 'everyone'),
  get('/login/callback', 'everyone'),
  get('/login.css', 'everyone'),
  get('/login.js', 'everyone'),
  get('/icon.svg', 'everyone'),
  post('/logout', 'everyone'),
  get('/api/session', 'everyone'),

  get('/api/events', looks),
  get('/api/series', looks),
  post('/api/series/retry', decides),
  get('/api/series/:series', looks),
  get('/api/series/:series/slices', looks),
  post('/api/series/:series/retry', decides),
  get('/api/series/:series/reviews', looks),
  post('/api/series/:series/reviews', decides),
  get('/api/instances/:instance/preview.png', looks),
  get('/api/reader-studies', looks),
  post('/api/reader-studies', configures),
  get('/api/reader-studies/:id/next', looks),
  get('/api/reader-studies/:id/cases/:token/:side/:index', looks),
  post('/api/reader-studies/:id/cases/:token', looks),
  get('/api/reader-studies/:id/results', configures),
  get('/api/reader-studies/:id/ratings.csv', configures),
  get('/api/reader-studies/:id/statistics.csv', configures),
  get('/api/status', looks),
  get('/api/sources', looks),
  get('/api/fetch', looks),
  get('/api/fetch/:id', looks),
  post('/api/fetch', decides),
  get('/api/openapi.json', looks),
  get('/api/configuration', configures),
  post('/api/configuration/reload', configures),

  post('/dicom-web/studies', sends),
  post('/dicom-web/studies/:study', sends),
  ...[
    '/studies',
    '/series',
    '/instances',
    '/studies/:study',
    '/studies/:study/metadata',
    '/studies/:study/series',
    '/studies/:study/instances',
    '/studies/:study/series/:series',
    '/studies/:study/series/:series/metadata',
    '/studies/:study/series/:series/instances',
    '/studies/:study/series/:series/instances/:sop',
    '/studies/:study/series/:series/instances/:sop/metadata',
    '/studies/:study/series/:series/instances/:sop/rendered',
    '/studies/:study/series/:series/instances/:sop/frames/:frames',
    '/studies/:study/series/:series/instances/:sop/frames/:frames/rendered',
    '/studies/:study/series/:series/instances/:sop/bulkdata/*path',
  ].map((path) => get(`/dicom-web${path}`, reads)),
];

/** Whom the route that a request would take answers. `path` as it came, still escaped. */
export interface AccessTable {
  allowedAt(method: string, path: string): Allowed;
}

const UNLISTED: Allowed = configures;

function patternOf(path: string): RegExp {
  const segments = path.split('/').map((segment) => {
    if (segment.startsWith('*')) return '.+';
    return segment.startsWith(':') ? '[^/]+' : segment.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&');
  });
  return new RegExp(`^${segments.join('/')}$`);
}

/**
 * Looks routes up exactly: another case, a slash at the end or anything else that express would still take is a route
 * that is not listed.
 * @param pageFiles paths of the page's files
 * @param open what is answered to everybody, by configuration
 */
export function createAccessTable(
  pageFiles: readonly string[],
  open: readonly ('health' | 'metrics')[],
): AccessTable {
  const everybody = new Set([
    ...(open.includes('health') ? ['/healthz', '/readyz'] : []),
    ...(open.includes('metrics') ? ['/metrics'] : []),
  ]);
  const routes = ROUTE_ACCESS.map(({ method, path, allowed }) => ({
    method,
    pattern: patternOf(path),
    allowed: everybody.has(path) ? ('everyone' as const) : allowed,
  }));
  const files = new Set(pageFiles);
  return {
    allowedAt(method, path) {
      const wanted = method === 'HEAD' ? 'GET' : method;
      const route = routes.find((each) => each.method === wanted && each.pattern.test(path));
      if (route) return route.allowed;
      return wanted === 'GET' && files.has(path) ? looks : UNLISTED;
    },
  };
}
