/** How much room the archive's disk has, against the two watermarks. */

export interface RoomOptions {
  /** Bytes free on the archive's disk. */
  freeBytes(): Promise<number>;
  /** Below this, nobody new is let in. */
  low: number;
  /** Below this, every object is refused. */
  critical: number;
  /** The level has changed. */
  onChange?(room: { level: RoomLevel; freeBytes: number }): void;
}

export type RoomLevel = 'enough' | 'low' | 'critical';

export interface Room {
  level(): RoomLevel;
  /** A sentence for senders and for people. */
  reason(): string;
  /** So much was written since the disk was last asked. */
  taken(bytes: number): void;
  close(): void;
}

/** How often the disk is asked. */
const askEveryMs = 2000;

/** Watches the disk; until it has answered for the first time there is enough. */
export function watchRoom(o: RoomOptions): Room {
  let free = Number.POSITIVE_INFINITY;
  let told: RoomLevel = 'enough';
  const level = () => (free < o.critical ? 'critical' : free < o.low ? 'low' : 'enough');
  const tell = () => {
    if (level() === told) return;
    told = level();
    o.onChange?.({ level: told, freeBytes: free });
  };
  const ask = () =>
    o.freeBytes().then(
      (bytes) => {
        free = bytes;
        tell();
      },
      () => {},
    );
  const timer = o.low > 0 ? setInterval(ask, askEveryMs) : undefined;
  timer?.unref();
  if (o.low > 0) void ask();
  return {
    level,
    reason: () =>
      `only ${Math.max(0, free)} bytes are free on the archive's disk, ${level() === 'critical' ? o.critical : o.low} are wanted`,
    taken(bytes) {
      free -= bytes;
      tell();
    },
    close: () => clearInterval(timer),
  };
}
