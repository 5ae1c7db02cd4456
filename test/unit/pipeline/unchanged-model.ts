/** A "model" that changes no pixel: its derived objects are real ones, made without a network. */
import { readFile } from 'node:fs/promises';
import * as dicom from '../../../src/dicom/index.js';
import type { Model } from '../../../src/pipeline/index.js';

async function derive(path: string, derivation: dicom.Derivation): Promise<Buffer> {
  const source = dicom.parsePart10(await readFile(path));
  const { frames } = await dicom.decodeFrames(source);
  return dicom.deriveInstance(source, frames, derivation);
}

export const unchanged: Model<dicom.Derivation> = {
  derivation: (source) => ({
    model: { name: 'none', version: '1', sha256: '0' },
    configurationDigest: '0',
    softwareVersion: '1',
    manufacturer: 'test',
    deviceUid: '2.25.1',
    at: new Date(source.receivedAt),
  }),
  corrector: {
    async correct({ path, derivation }) {
      const file = await derive(path, derivation).catch((error: unknown) => {
        throw Object.assign(error instanceof Error ? error : new Error(String(error)), {
          permanent: error instanceof dicom.DicomError,
        });
      });
      const header = dicom.readHeader(file);
      return {
        file,
        study: header.studyInstanceUid,
        series: header.seriesInstanceUid,
        sop: header.sopInstanceUid,
        sopClass: header.sopClassUid,
        transferSyntax: header.transferSyntaxUid,
        quality: {},
        ms: {},
      };
    },
  },
};
