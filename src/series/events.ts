/** What happens in the pipeline, for the page, the metrics and the log. UIDs and figures only. */
import { EventEmitter } from 'node:events';
import type { Instance, Source } from '../archive/index.js';
import type { SeriesState } from './state.js';

export interface PipelineEvents {
  /** Stored durably, or found to be there already. */
  received: [
    {
      instance: Instance;
      /** Who sent it now; a duplicate's instance has the source of the first. */
      source: Source;
      outcome: 'stored' | 'duplicate' | 'new-version' | 'kept-first';
      bytes: number;
      /** From the first byte to durable, milliseconds. */
      ms: number;
    },
  ];
  /** Not taken: the sender was told so. */
  rejected: [
    {
      source: Source;
      code: string;
      message: string;
      study?: string;
      series?: string;
      sop?: string;
      bytes: number;
    },
  ];
  corrected: [
    {
      source: Instance;
      derived: Instance;
      /** Received → corrected and durable, milliseconds. */
      latencyMs: number;
      ms: Record<string, number>;
      quality: Record<string, number>;
      /** Remarks of the safeguards. */
      flags: readonly { kind: string; message: string }[];
    },
  ];
  correctionFailed: [{ source: Instance; reason: string; permanent: boolean; attempts: number }];
  series: [{ id: number; study: string; series: string; from: SeriesState; to: SeriesState; reason: string }];
  delivery: [
    {
      destination: string;
      study: string;
      series: string;
      sop: string;
      outcome: 'accepted' | 'warning' | 'refused' | 'lost';
      status?: number;
      message: string;
      transient: boolean;
    },
  ];
  /** All of a series is at a destination. */
  turnaround: [
    { study: string; series: string; destination: string /** Last received → last accepted. */; ms: number },
  ];
  /** A person has looked at a series and decided. */
  reviewed: [{ study: string; series: string; verdict: 'accepted' | 'rejected'; reviewer: string }];
  /** A destination does not answer (or answers again): nothing is sent before `until`. */
  breaker: [{ destination: string; open: boolean; until?: number; message: string }];
  /** The archive's disk has passed a watermark, down or up. */
  room: [{ level: 'enough' | 'low' | 'critical'; freeBytes: number }];
  /** Retention is about to remove a series: the index still knows it. */
  removing: [{ study: string; series: string }];
  /** Retention removed a series, with what was derived from it. */
  removed: [{ study: string; series: string; instances: number; bytes: number; why: 'age' | 'space' }];
  /** A listener of one of the other events threw. */
  listenerError: [unknown];
}

/** An emitter whose listeners cannot harm what they listen to: what they throw is an event itself. */
export class PipelineEmitter extends EventEmitter<PipelineEvents> {
  override emit<K>(
    name: K | keyof PipelineEvents,
    ...values: K extends keyof PipelineEvents ? PipelineEvents[K] : never
  ): boolean {
    try {
      return super.emit(name, ...values);
    } catch (error) {
      if (name !== 'listenerError' && this.listenerCount('listenerError') > 0)
        this.emit('listenerError', error);
      else process.emitWarning(error instanceof Error ? error : String(error));
      return true;
    }
  }
}
