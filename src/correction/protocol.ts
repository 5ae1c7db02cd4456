import type { Derivation, DicomErrorCode } from '../dicom/index.js';
import type { Flag, ModelManifest, Quality, Safeguards } from '../inference/index.js';
import type { NetworkInputOptions } from '../inference/preprocess/index.js';
import type { CorrectionErrorCode } from './error.js';

/** What a correction worker is told when it starts, through `workerData`. */
export interface WorkerSettings {
  input: NetworkInputOptions;
  /** Frames of one object that may be under way to the network at the same time. */
  window: number;
  /** Sources and derived frames of more bytes than this stay on the disk, where the request names a file for them. */
  largeBytes: number;
  /** What the model is made for. */
  intended: ModelManifest['intended'];
  severity?: ModelManifest['severity'];
}

/** What the main thread tells a correction worker. `id` names a request for as long as it lives. */
export type ToWorker =
  /** Read, decode, and send the first frames. */
  | {
      kind: 'open';
      id: number;
      source: { path: string } | { bytes: Uint8Array };
      derivation: Derivation;
      /** Without them nothing is flagged, and every frame is corrected. */
      safeguards?: Safeguards | undefined;
      anyway: boolean;
      /** Where the corrected frames of a large object are written. */
      scratch: string | undefined;
      /** Memory of a derived instance from before, for this one; handed over. */
      memory?: ArrayBuffer | undefined;
    }
  /** The network's answer to a frame; its buffer is handed over. */
  | { kind: 'residual'; id: number; frame: number; residual: Float32Array }
  /** Forget the request. */
  | { kind: 'drop'; id: number }
  | { kind: 'close' };

/** What a correction worker tells the main thread. */
export type FromWorker =
  | { kind: 'ready' }
  /** A frame for the network, rows × columns float32 values; its buffer is handed over. */
  | { kind: 'frame'; id: number; frame: number; data: Float32Array; rows: number; columns: number }
  /** The derived instance; its buffer is handed over. */
  | { kind: 'done'; id: number; corrected: WorkerResult }
  | {
      kind: 'rejected';
      id: number;
      code: CorrectionErrorCode;
      permanent: boolean;
      message: string;
      dicom: DicomErrorCode | undefined;
    };

export interface WorkerResult {
  /** The derived file, or what precedes its stored values when those are in the scratch file. */
  file: Uint8Array;
  /** Bytes in the scratch file. */
  scratchBytes?: number;
  study: string;
  series: string;
  sop: string;
  sopClass: string;
  transferSyntax: string;
  frames: number;
  rows: number;
  columns: number;
  quality: Quality;
  /** Remarks of the safeguards. */
  flags: Flag[];
  /** Quality of each frame, where there are several. */
  frameQuality?: Quality[];
  ms: { read: number; decode: number; preprocess: number; postprocess: number };
}
