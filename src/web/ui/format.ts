import type { SeriesView } from './api.js';

const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const DAY = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });

/** `says`: what a state means, where the server gives no reason. */
export const STATES: Readonly<Record<SeriesView['state'], { label: string; mark: string; says: string }>> = {
  receiving: { label: 'Receiving', mark: '↓', says: 'more slices may come' },
  complete: { label: 'Correcting', mark: '◐', says: 'all slices are here and are being corrected' },
  corrected: { label: 'Corrected', mark: '●', says: 'on its way to its destinations' },
  delivered: { label: 'Delivered', mark: '✓', says: 'every destination has it' },
  'left-alone': { label: 'Left alone', mark: '–', says: 'not corrected, sent nowhere' },
  failed: { label: 'Failed', mark: '!', says: 'something of it could not be done' },
};

/** The time of day, with the date when it is not today's. */
export function clock(ms: number): string {
  const date = new Date(ms);
  const today = date.toDateString() === new Date().toDateString();
  return today ? CLOCK.format(date) : `${DAY.format(date)}, ${CLOCK.format(date)}`;
}

/** A span of time in the unit that a person would use. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ${Math.floor((ms % 60_000) / 1000)} s`;
  if (ms < 172_800_000) return `${Math.floor(ms / 3_600_000)} h ${Math.floor((ms % 3_600_000) / 60_000)} min`;
  return `${Math.round(ms / 86_400_000)} days`;
}

/** How long ago, roughly: it is drawn again every few seconds. */
export function ago(ms: number): string {
  const span = Date.now() - ms;
  if (span < 5000) return 'just now';
  if (span < 60_000) return `${Math.floor(span / 5000) * 5} s ago`;
  if (span < 3_600_000) return `${Math.floor(span / 60_000)} min ago`;
  if (span < 172_800_000) return `${Math.floor(span / 3_600_000)} h ago`;
  return `${Math.round(span / 86_400_000)} days ago`;
}

/** The end of a UID, which is what differs between the series of a site. */
export function shortUid(uid: string): string {
  return uid.length <= 18 ? uid : `…${uid.slice(-16)}`;
}

export function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = count < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(count) / 3));
  return `${(count / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/** What a series is called on the page. */
export function seriesTitle({ about, series }: SeriesView): string {
  const number = about?.seriesNumber === undefined ? '' : `${about.seriesNumber} · `;
  return `${number}${about?.seriesDescription ?? shortUid(series)}`;
}

/** The patient's line: name or mark, birth, sex, ID. */
export function patientFacts({ about }: SeriesView): string[] {
  if (!about) return [];
  const birth = about.birth && (about.birth.length > 4 ? `born ${about.birth}` : `* ${about.birth}`);
  return [birth, about.sex, about.patientId && `ID ${about.patientId}`].filter(
    (fact): fact is string => fact !== undefined && fact !== '',
  );
}

/** The study's line, and with what it was made. */
export function studyFacts({ about }: SeriesView): string[] {
  if (!about) return [];
  const accession = about.accession && `Acc. ${about.accession}`;
  return [about.studyDescription, about.studyDate, accession, about.scanner].filter(
    (fact): fact is string => fact !== undefined && fact !== '',
  );
}

/** From the last slice received to delivered (or corrected so far), milliseconds. */
export function turnaround(series: SeriesView): { ms: number; to: 'delivered' | 'corrected' } | undefined {
  if (series.deliveredAt) return { ms: series.deliveredAt - series.lastReceivedAt, to: 'delivered' };
  if (series.correctedAt) return { ms: series.correctedAt - series.lastReceivedAt, to: 'corrected' };
  return undefined;
}
