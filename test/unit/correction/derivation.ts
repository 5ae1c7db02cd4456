import type { Derivation } from '../../../src/dicom/index.js';

/** How the tests' derived instances come about. */
export const derivation: Derivation = {
  model: { name: 'tiny', version: '1.0.0', sha256: '0'.repeat(64) },
  configurationDigest: 'c'.repeat(64),
  softwareVersion: '0.1.0',
  manufacturer: 'MC-Net',
  deviceUid: '2.25.1',
  at: new Date('2024-01-02T03:04:05Z'),
};
