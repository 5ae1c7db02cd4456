import { runProgram } from './process.js';

/** A data set in the DICOM JSON model (PS3.18 F). */
export type JsonDataSet = Record<string, { vr: string; Value?: unknown[]; InlineBinary?: string }>;

/** The data set of a file, as DCMTK reads it. */
export async function dcmToJson(path: string): Promise<JsonDataSet> {
  const { code, stdout, stderr } = await runProgram('dcm2json', [path]);
  if (code !== 0) throw new Error(`dcm2json ${path}: ${stderr}`);
  return JSON.parse(stdout) as JsonDataSet;
}

/** The values of an attribute; empty where it is absent. */
export function attribute(dataSet: JsonDataSet, tag: string): unknown[] {
  return dataSet[tag]?.Value ?? [];
}

/** The errors that dciodvfy finds in a file; a complaint about a UID's value is the same wherever that UID is written. */
export async function errorsOf(path: string): Promise<Set<string>> {
  const { stdout, stderr } = await runProgram('dciodvfy', [path]);
  const lines = `${stdout}\n${stderr}`.split('\n').filter((line) => line.startsWith('Error'));
  return new Set(lines.map((line) => line.replace(/^(Error - Illegal root for UID - "[^"]*") in .*$/, '$1')));
}
