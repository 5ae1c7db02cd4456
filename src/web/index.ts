export { encodePng, type Picture } from '../dicomweb/index.js';
export { aboutSeries, type PatientDisplay } from './about.js';
export { principalOf, type Refusals } from './access-guard.js';
export type { ApiParts } from './api.js';
export { createWebApp, type WebApp, type WebParts } from './app.js';
export { isAtPage, maskedDicomWeb } from './at-page.js';
export { whyToLook } from './attention.js';
export {
  ClientError,
  listSeries,
  retryFailedSeries,
  retrySeries,
  type ServerAddress,
  serverStatus,
  showSeries,
} from './client.js';
export type { Disclosures } from './disclosure.js';
export { type FetchRequest, listFetches, requestFetch, showFetch } from './fetch-client.js';
export type { LoginEvents } from './login.js';
export { viewsOfPipeline } from './pipeline-views.js';
export { type PreviewFrame, type PreviewKind, renderPreview } from './preview.js';
export { createAccessTable } from './route-access.js';
export { startWebServer, type WebServer } from './server.js';
export type { DestinationView, Readiness, SeriesView, SliceView, StatusView } from './views.js';
