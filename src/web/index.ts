export { encodePng, type Picture } from '../dicomweb/index.js';
export { aboutSeries, type PatientDisplay } from './about.js';
export type { ApiParts } from './api.js';
export { createWebApp, type WebApp, type WebParts } from './app.js';
export { ClientError, listSeries, retrySeries, serverStatus, showSeries } from './client.js';
export { viewsOfPipeline } from './pipeline-views.js';
export { type PreviewFrame, type PreviewKind, renderPreview } from './preview.js';
export { startWebServer, type WebServer } from './server.js';
export type { DestinationView, Readiness, SeriesView, SliceView, StatusView } from './views.js';
