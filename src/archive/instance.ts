/** What the index knows of one stored object. */
export interface Source {
  protocol: 'dimse' | 'dicomweb' | 'file';
  /** Calling AE title, HTTP principal, or "mcnet" for what this server made. */
  peer: string;
  address: string;
}

export type InstanceState = 'pending' | 'corrected' | 'left-alone' | 'failed' | 'derived' | 'superseded';

/** A remark of the safeguards about a derived instance. */
export interface InstanceFlag {
  kind: string;
  message: string;
}

export interface Instance {
  id: number;
  seriesId: number;
  study: string;
  series: string;
  sop: string;
  /** 1 for the first object with this study, series and SOP Instance UID; more when other bytes came under it. */
  version: number;
  /** Whether this is the version that counts. */
  current: boolean;
  sopClass: string;
  transferSyntax: string;
  /** SHA-256, hexadecimal, of the transfer syntax UID, a zero byte and the bytes of the data set. */
  digest: string;
  /** Size of the file. */
  bytes: number;
  /** Absolute path of the file, DICOM part 10. */
  path: string;
  /** Where the data set begins in the file. */
  dataSetOffset: number;
  origin: 'received' | 'derived';
  derivedFrom?: number;
  source: Source;
  /** Milliseconds since the epoch. */
  receivedAt: number;
  state: InstanceState;
  /** Why it is left alone or failed; empty otherwise. */
  reason: string;
  rule?: string;
  model?: string;
  destinations: string[];
  deliver: 'series' | 'slice';
  priority: number;
  /** Quality figures of a derived instance, as the correction reported them. */
  quality?: Record<string, number>;
  /** What the safeguards remarked about a derived instance. */
  flags?: InstanceFlag[];
  /** The quality figures of each frame, of a derived instance with several. */
  frameQuality?: Record<string, number>[];
  /** What is wrong with the file on disk, found at start or when it was read. */
  damage?: string;
}

export interface InstanceRow {
  id: number;
  series_id: number;
  study: string;
  series: string;
  sop: string;
  version: number;
  current: number;
  sop_class: string;
  transfer_syntax: string;
  digest: string;
  bytes: number;
  path: string;
  data_set_offset: number;
  origin: 'received' | 'derived';
  derived_from: number | null;
  source_protocol: Source['protocol'];
  source_peer: string;
  source_address: string;
  received_at: number;
  state: InstanceState;
  reason: string;
  rule: string | null;
  model: string | null;
  destinations: string;
  deliver: 'series' | 'slice';
  priority: number;
  quality: string | null;
  flags: string | null;
  frame_quality: string | null;
  damage: string | null;
}

/** To be completed with a WHERE clause on `i` (instances) and `s` (series). */
export const selectInstance =
  'SELECT i.*, s.study, s.series FROM instances i JOIN series s ON s.id = i.series_id';

export function instanceOf(row: InstanceRow, absolutePath: (relative: string) => string): Instance {
  return {
    id: row.id,
    seriesId: row.series_id,
    study: row.study,
    series: row.series,
    sop: row.sop,
    version: row.version,
    current: row.current === 1,
    sopClass: row.sop_class,
    transferSyntax: row.transfer_syntax,
    digest: row.digest,
    bytes: row.bytes,
    path: absolutePath(row.path),
    dataSetOffset: row.data_set_offset,
    origin: row.origin,
    ...(row.derived_from !== null && { derivedFrom: row.derived_from }),
    source: { protocol: row.source_protocol, peer: row.source_peer, address: row.source_address },
    receivedAt: row.received_at,
    state: row.state,
    reason: row.reason,
    ...(row.rule !== null && { rule: row.rule }),
    ...(row.model !== null && { model: row.model }),
    destinations: JSON.parse(row.destinations) as string[],
    deliver: row.deliver,
    priority: row.priority,
    ...(row.quality !== null && { quality: JSON.parse(row.quality) as Record<string, number> }),
    ...(row.flags !== null && { flags: JSON.parse(row.flags) as InstanceFlag[] }),
    ...(row.frame_quality !== null && {
      frameQuality: JSON.parse(row.frame_quality) as Record<string, number>[],
    }),
    ...(row.damage !== null && { damage: row.damage }),
  };
}
