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
  /** Whether the result waits for a person to accept it. */
  hold?: boolean;
  review?: ReviewView;
  /** Corrected instances that the safeguards flagged. */
  flagged?: number;
  /** What they remarked, with how many instances: residual, contrast, matrix, orientation, skipped. */
  remarks?: { kind: string; count: number }[];
  /** Absent before the index knows the series. */
  about?: AboutView;
}

/** Patient, study and series as the site lets the page show them (`page.patient`). */
export interface AboutView {
  patient: string;
  patientId?: string;
  /** YYYY-MM-DD, or the year alone. */
  birth?: string;
  sex?: string;
  studyDate?: string;
  studyDescription?: string;
  accession?: string;
  seriesNumber?: number;
  seriesDescription?: string;
  modality?: string;
  bodyPart?: string;
  scanner?: string;
}

/** What a person decided who looked at a series. */
export interface ReviewView {
  verdict: 'accepted' | 'rejected';
  comment: string;
  reviewer: string;
  at: number;
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
  /** Where DICOMweb has it; the study is the source's. */
  derivedAt?: { series: string; sop: string };
  quality?: Readonly<Record<string, number>>;
  /** The figures of each frame, where there are several. */
  frameQuality?: readonly Readonly<Record<string, number>>[];
  /** What the safeguards remarked. */
  flags?: readonly { kind: string; message: string }[];
  /** Of the source; the corrected image is described alike. Absent for what is no monochrome image. */
  image?: ImageView;
}

export interface ImageView {
  rows: number;
  columns: number;
  bitsAllocated: 8 | 16;
  signed: boolean;
  /** MONOCHROME1: low values are bright. */
  inverted: boolean;
  /** Millimetres between rows and between columns. */
  spacing: readonly [number, number];
  /** Image Orientation (Patient). */
  orientation?: readonly number[];
  frames: readonly FrameView[];
}

export interface FrameView {
  slope: number;
  intercept: number;
  /** Image Position (Patient), millimetres. */
  position?: readonly [number, number, number];
  /** In rescaled values. */
  window?: { center: number; width: number };
}

/** How a derived series came about, as its objects say it. */
export interface ProvenanceView {
  /** The derived Series Instance UID. */
  series: string;
  description: string;
  /** The program's version, and the model's name and version. */
  softwareVersions: readonly string[];
  /** YYYY-MM-DD hh:mm:ss */
  at?: string;
}

/** Who uses the page, as far as the server knows. */
export interface SessionView {
  /** Whether anybody has to log in. */
  configured: boolean;
  name?: string;
  role?: 'viewer' | 'technologist' | 'admin' | 'reader' | 'sender' | 'monitor' | 'worker';
  by?: 'open' | 'session' | 'proxy' | 'token' | 'peer';
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
  /** What is wrong with the server now, in sentences; the configuration's own problem apart. */
  problems: readonly string[];
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

/** What a reader's browser is told about a case: nothing that differs between the sides. */
export interface CaseView {
  token: string;
  slices: { position?: number; image: ImageView }[];
  window: { center: number; width: number };
}

export interface ReaderStudyView {
  id: string;
  name: string;
  cases: number;
  /** By the reader who asks. */
  rated: number;
}
