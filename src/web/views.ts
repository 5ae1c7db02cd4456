/** What the page and the command line are told about a series; `series` and `study` are UIDs, times are milliseconds. */
export interface SeriesView {
  id: number;
  study: string;
  series: string;
  state: 'receiving' | 'complete' | 'corrected' | 'delivered' | 'left-alone' | 'failed';
  reason: string;
  rule?: string;
  counts: { received: number; corrected: number; leftAlone: number; failed: number; delivered: number };
  expected?: number;
  completeReason?: string;
  firstReceivedAt?: number;
  lastReceivedAt: number;
  completedAt?: number;
  correctedAt?: number;
  deliveredAt?: number;
  derivedSeries?: string[];
  destinations: DestinationView[];
  failures: { sop: string; reason: string }[];
  refused?: { sop: string; reason: string; at: number }[];
  leftAlone?: { reason: string; count: number }[];
}

/** How far the delivery of one series to one destination is. */
export interface DestinationView {
  name: string;
  state: 'waiting' | 'sending' | 'delivered' | 'failed';
  delivered: number;
  failed: number;
  pending?: number;
  attempts: number;
  nextAttemptAt?: number;
  lastError?: string;
}

export const SERIES_STATES: readonly SeriesView['state'][] = [
  'receiving',
  'complete',
  'corrected',
  'delivered',
  'left-alone',
  'failed',
];

/** One received instance of a series, in the order in which it should be looked through. */
export interface SliceView {
  /** The instance's id, for its preview. */
  id: number;
  sop: string;
  /** Millimetres along the normal of the slices, where the header tells. */
  position?: number;
  frames: number;
  state: string;
  reason?: string;
  /** Whether there is a corrected instance to look at. */
  derived: boolean;
  quality?: Readonly<Record<string, number>>;
}

/** The server as a whole. */
export interface StatusView {
  version: string;
  aeTitle: string;
  startedAt: number;
  engine: { engine: string; device: string; provider: string; version: string };
  model: { name: string; version: string; sha256: string };
  queues: readonly { queue: string; jobs: number; dead: number; oldestAgeMs: number }[];
  destinations: readonly {
    name: string;
    protocol: 'dimse' | 'dicomweb';
    address: string;
    problem?: string;
  }[];
  archive: { bytes: number; freeBytes?: number };
  series: Partial<Record<SeriesView['state'], number>>;
  /** Where the server was started with a configuration file. */
  configuration?: ConfigurationView;
}

/** How it stands with the configuration file; times are milliseconds. */
export interface ConfigurationView {
  file: string;
  /** When the configuration in force was read. */
  loadedAt: number;
  /** Why the file as it is now cannot be used; what was read before stays in force. */
  problem?: string;
  /** Keys that need a restart to take effect. */
  needsRestart: string[];
}

/** Whether the server can do its work, part by part. */
export interface Readiness {
  ready: boolean;
  /** `required: false`: the server can do without it for a while. */
  checks: readonly { name: string; ok: boolean; message: string; required?: boolean }[];
}
