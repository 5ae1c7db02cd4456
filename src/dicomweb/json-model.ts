/** One attribute of the DICOM JSON Model (PS3.18 F.2). */
export interface JsonAttribute {
  vr: string;
  Value?: readonly JsonValue[];
  /** The value in base 64. */
  InlineBinary?: string;
  /** Where the value can be had. */
  BulkDataURI?: string;
}

/** A value of Person Name (PS3.18 F.2.2). */
export interface PersonName {
  Alphabetic?: string;
  Ideographic?: string;
  Phonetic?: string;
}

/** null stands for an empty value among others. */
export type JsonValue = string | number | null | PersonName | JsonDataSet;

/** A data set in the DICOM JSON Model: tags as eight hexadecimal digits in upper case. */
export interface JsonDataSet {
  [tag: string]: JsonAttribute;
}

/** The attributes of the Store Instances Response Module (PS3.18 I.2). */
export const TAG = {
  referencedSopClassUid: '00081150',
  referencedSopInstanceUid: '00081155',
  retrieveUrl: '00081190',
  warningReason: '00081196',
  failureReason: '00081197',
  failedSopSequence: '00081198',
  referencedSopSequence: '00081199',
  otherFailuresSequence: '0008119A',
} as const;

/** Responses come from outside: what should be a list may be anything. */
function valuesOf(dataSet: JsonDataSet, tag: string): readonly JsonValue[] {
  const values = dataSet[tag]?.Value;
  return Array.isArray(values) ? values : [];
}

/** The items of a sequence; none when it is absent. */
export function items(dataSet: JsonDataSet, tag: string): JsonDataSet[] {
  return valuesOf(dataSet, tag).filter(
    (value): value is JsonDataSet => typeof value === 'object' && value !== null,
  );
}

/** The first value of a text attribute. */
export function textValue(dataSet: JsonDataSet, tag: string): string | undefined {
  const value = valuesOf(dataSet, tag)[0];
  return typeof value === 'string' ? value.trim() : undefined;
}

/** The first value of a numeric attribute; some servers write numbers as text. */
export function numberValue(dataSet: JsonDataSet, tag: string): number | undefined {
  const value = valuesOf(dataSet, tag)[0];
  if (typeof value === 'number') return value;
  if (typeof value !== 'string' || value.trim() === '') return undefined;
  const number = Number(value);
  return Number.isFinite(number) ? number : undefined;
}
