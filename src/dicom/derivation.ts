/** Who derived an instance and how, and the attributes of the derived object that say so. */

import { tagOf } from './dictionary.js';
import { uidFromName } from './uid.js';
import type { OutgoingElement } from './writer.js';

export interface Derivation {
  model: { name: string; version: string; sha256: string };
  /** digest of everything else that decides the result */
  configurationDigest: string;
  /** digest of the rule's own choices about the result, where they are not the usual ones */
  variant?: string;
  softwareVersion: string;
  manufacturer: string;
  /** Device UID of this installation */
  deviceUid: string;
  /** when the correction happened */
  at: Date;
  /** short remarks about this instance, for Image Comments */
  flags?: string[];
  /** Frames (from 0) whose pixels are the source's, because the correction was not applied to them. */
  unchanged?: number[];
  /** n in "source series number × 100 + n", default 1 */
  seriesNumberOffset?: number;
  /** default " MC-Net" */
  descriptionSuffix?: string;
}

/** Manufacturer's Model Name in the Contributing Equipment Sequence: the mark by which own output is recognised. */
export const EQUIPMENT_MODEL_NAME = 'MC-Net';
/** Private coding scheme of the derivation code; CID 7203 has none for a correction of motion artifacts. */
export const CODING_SCHEME = '99MCNET';
export const PROCESSING_EQUIPMENT = '109102';

/** Series and SOP Instance UID of the instance that this derivation makes of a source: a function of its arguments alone. */
export function derivedUids(
  source: { seriesInstanceUid: string; sopInstanceUid: string },
  d: Derivation,
): { seriesInstanceUid: string; sopInstanceUid: string } {
  const how = [
    d.model.name,
    d.model.version,
    d.model.sha256,
    d.configurationDigest,
    ...(d.variant ? [d.variant] : []),
  ].join('\n');
  return {
    seriesInstanceUid: uidFromName(`series\n${source.seriesInstanceUid}\n${how}`),
    sopInstanceUid: uidFromName(`instance\n${source.seriesInstanceUid}\n${source.sopInstanceUid}\n${how}`),
  };
}

/** A text or UID element; the text is ASCII, whatever the data set's character set. */
export function text(keyword: string, vr: string, value: string): OutgoingElement & { bytes: Buffer } {
  return { tag: tagOf(keyword), vr, bytes: Buffer.from(value, 'latin1') };
}

export function sequence(
  keyword: string,
  items: OutgoingElement[][],
): OutgoingElement & { items: OutgoingElement[][] } {
  return { tag: tagOf(keyword), vr: 'SQ', items };
}

/** Printable ASCII of at most `limit` characters, without the value delimiter. */
export function ascii(value: string, limit: number): string {
  return value
    .replace(/[^\x20-\x7e]/g, '?')
    .replaceAll('\\', '/')
    .slice(0, limit)
    .trim();
}

function code(value: string, scheme: string, meaning: string): OutgoingElement[] {
  return [
    text('CodeValue', 'SH', value),
    text('CodingSchemeDesignator', 'SH', scheme),
    text('CodeMeaning', 'LO', meaning),
  ];
}

/** Derivation Description and Derivation Code Sequence: PS3.3 C.7.6.1.1.3. */
export function derivationMacro(
  d: Derivation,
  frames = 1,
): [OutgoingElement & { bytes: Buffer }, OutgoingElement & { items: OutgoingElement[][] }] {
  const { name, version, sha256 } = d.model;
  const none = (d.unchanged?.length ?? 0) >= frames;
  const applied = none ? ' not applied' : '';
  const some =
    none || !d.unchanged?.length ? '' : `, not applied to ${d.unchanged.length} of ${frames} frames`;
  const description = `Motion artifact correction${applied} by ${EQUIPMENT_MODEL_NAME}, model ${name} ${version}, weights sha256 ${sha256.slice(0, 16)}, configuration ${d.configurationDigest.slice(0, 16)}${d.variant ? `, rule ${d.variant.slice(0, 16)}` : ''}${some}`;
  const applyCode = none
    ? code('MOTIONPASSED', CODING_SCHEME, 'Motion artifact correction not applied')
    : code('MOTIONCORR', CODING_SCHEME, 'Motion artifact correction');
  return [
    text('DerivationDescription', 'ST', ascii(description, 1024)),
    sequence('DerivationCodeSequence', [applyCode]),
  ];
}

/** Explains the private scheme: PS3.3 C.12.1.1.7, Coding Scheme Identification Sequence. */
export function codingSchemeItem(): OutgoingElement[] {
  return [
    text('CodingSchemeDesignator', 'SH', CODING_SCHEME),
    text('CodingSchemeName', 'ST', 'MC-Net private codes'),
    text('CodingSchemeResponsibleOrganization', 'ST', 'MC-Net'),
  ];
}

/** Source Image Sequence: PS3.3 C.7.6.1.1.4, purpose of CID 7202. */
export function sourceImages(
  source: { sopClassUid: string; sopInstanceUid: string },
  frameNumber?: number,
): OutgoingElement {
  return sequence('SourceImageSequence', [
    [
      text('ReferencedSOPClassUID', 'UI', source.sopClassUid),
      text('ReferencedSOPInstanceUID', 'UI', source.sopInstanceUid),
      ...(frameNumber === undefined ? [] : [text('ReferencedFrameNumber', 'IS', String(frameNumber))]),
      text('SpatialLocationsPreserved', 'CS', 'YES'),
      sequence('PurposeOfReferenceCodeSequence', [
        code('121322', 'DCM', 'Source image for image processing operation'),
      ]),
    ],
  ]);
}

/** One item of the Contributing Equipment Sequence: PS3.3 C.12.1. */
export function contributingEquipmentItem(d: Derivation, moment: Moment): OutgoingElement[] {
  const versions = [d.softwareVersion, `${d.model.name} ${d.model.version}`].map((v) => ascii(v, 64));
  return [
    text('Manufacturer', 'LO', ascii(d.manufacturer, 64)),
    text('ManufacturerModelName', 'LO', EQUIPMENT_MODEL_NAME),
    text('DeviceUID', 'UI', d.deviceUid),
    text('SoftwareVersions', 'LO', versions.join('\\')),
    text('ContributionDateTime', 'DT', `${moment.date}${moment.time}${moment.offset}`),
    text('ContributionDescription', 'ST', 'Motion artifact correction of MR images'),
    sequence('PurposeOfReferenceCodeSequence', [code(PROCESSING_EQUIPMENT, 'DCM', 'Processing Equipment')]),
  ];
}

export interface Moment {
  /** DA */
  date: string;
  /** TM with milliseconds */
  time: string;
  /** &ZZXX */
  offset: string;
}

/**
 * Writes a time in the zone of Timezone Offset From UTC (0008,0201), which rules every DA and TM of a data set that has
 * it, else in this machine's zone.
 */
export function momentOf(at: Date, timezoneOffset: string | undefined): Moment {
  const match = /^([+-])(\d{2})(\d{2})$/.exec(timezoneOffset ?? '');
  const minutes =
    match === null
      ? -at.getTimezoneOffset()
      : (match[1] === '-' ? -1 : 1) * (Number(match[2]) * 60 + Number(match[3]));
  const local = new Date(at.getTime() + minutes * 60_000).toISOString();
  const absolute = Math.abs(minutes);
  const two = (value: number) => String(Math.trunc(value)).padStart(2, '0');
  return {
    date: local.slice(0, 10).replaceAll('-', ''),
    time: local.slice(11, 23).replaceAll(':', ''),
    offset: `${minutes < 0 ? '-' : '+'}${two(absolute / 60)}${two(absolute % 60)}`,
  };
}
