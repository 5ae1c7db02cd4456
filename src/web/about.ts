/** Whose series it is, as much as the site lets the page show. */
import { createHmac, randomBytes } from 'node:crypto';
import type { Archive } from '../archive/index.js';
import type { Config } from '../config/index.js';
import type { AboutView } from './views.js';

export type PatientDisplay = Config['page']['patient'];

/** Keyword to values, as the archive's index keeps them. */
type Attributes = Readonly<Record<string, readonly string[] | undefined>>;

const SECRET = 'page secret';

/** The first component group of a Person Name that says anything (PS3.5 6.2.1), as its components. */
function nameParts(value: string | undefined): string[] {
  const groups = (value ?? '').split('=').map((group) => group.split('^').map((part) => part.trim()));
  return groups.find((parts) => parts.some((part) => part !== '')) ?? [];
}

function fullName(value: string | undefined): string {
  const [family = '', given = '', middle = '', prefix = '', suffix = ''] = nameParts(value);
  const before = [family, suffix].filter((part) => part !== '').join(' ');
  const after = [prefix, given, middle].filter((part) => part !== '').join(' ');
  return [before, after].filter((part) => part !== '').join(', ');
}

function initials(value: string | undefined): string {
  const [family = '', given = ''] = nameParts(value);
  return [family, given]
    .flatMap((part) => [...part].slice(0, 1))
    .map((letter) => `${letter.toUpperCase()}.`)
    .join(' ');
}

/** DA as YYYY-MM-DD; what is no date is left out. */
function day(value: string | undefined): string | undefined {
  const match = /^(\d{4})\.?(\d{2})\.?(\d{2})$/.exec(value ?? '');
  return match ? `${match[1]}-${match[2]}-${match[3]}` : undefined;
}

function defined<T extends object>(values: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined && value !== ''),
  ) as T;
}

/**
 * What is shown of a series' patient and study.
 * @param mark of the patient, the same for all series of one
 */
export function aboutSeries(
  study: Attributes,
  series: Attributes,
  display: PatientDisplay,
  mark: string,
): AboutView {
  const of = (keyword: string, from: Attributes = study) => from[keyword]?.[0];
  const number = Number(of('SeriesNumber', series));
  const common = {
    seriesNumber: of('SeriesNumber', series) !== undefined && Number.isFinite(number) ? number : undefined,
    seriesDescription: of('SeriesDescription', series),
    modality: of('Modality', series),
    bodyPart: of('BodyPartExamined', series),
    scanner: [of('Manufacturer', series), of('ManufacturerModelName', series)].filter(Boolean).join(' '),
  };
  if (display === 'masked') return defined<AboutView>({ patient: `Patient ${mark}`, ...common });
  const whole = display === 'full';
  const name = whole ? fullName(of('PatientName')) : initials(of('PatientName'));
  const birth = day(of('PatientBirthDate'));
  return defined<AboutView>({
    patient: name === '' ? `Patient ${mark}` : name,
    patientId: whole ? of('PatientID') : undefined,
    birth: whole ? birth : birth?.slice(0, 4),
    sex: of('PatientSex'),
    studyDate: day(of('StudyDate')),
    studyDescription: of('StudyDescription'),
    accession: whole ? of('AccessionNumber') : undefined,
    ...common,
  });
}

/** Reads what the archive's index knows of a series, and shows as much of it as the site allows. */
export function createAbout(
  archive: Pick<Archive, 'db' | 'setting' | 'setSetting'>,
  display: PatientDisplay,
): (of: { study: string; series: string }) => AboutView | undefined {
  let secret = archive.setting(SECRET);
  if (secret === undefined) {
    secret = randomBytes(32).toString('hex');
    archive.setSetting(SECRET, secret);
  }
  const key = secret;
  return ({ study, series }) => {
    const row = archive.db.get<{ study: string | null; series: string | null }>(
      `SELECT st.attributes AS study, se.attributes AS series FROM series se LEFT JOIN studies st ON st.study = se.study
       WHERE se.study = ? AND se.series = ?`,
      study,
      series,
    );
    if (row === undefined || row.series === null) return undefined;
    const patient = JSON.parse(row.study ?? '{}') as Attributes;
    const identity = `${patient.PatientID?.[0] ?? ''}\n${patient.IssuerOfPatientID?.[0] ?? ''}`;
    const mark = createHmac('sha256', key).update(identity).digest('hex').slice(0, 6).toUpperCase();
    return aboutSeries(patient, JSON.parse(row.series) as Attributes, display, mark);
  };
}
