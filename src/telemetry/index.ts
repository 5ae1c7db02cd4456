export {
  createGatewayMetrics,
  createWorkerMetrics,
  type GatewaySources,
  type WorkerOutcome,
  type WorkerSources,
} from './distribution.js';
export { createLogger, type Logger, type LoggerOptions } from './logger.js';
export {
  createMetrics,
  type DeliveryOutcome,
  type Metrics,
  type MetricsOptions,
  type MetricsSources,
  type ReceiveOutcome,
} from './metrics.js';
