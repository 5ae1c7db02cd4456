import { createHash } from 'node:crypto';
import type { Derivation } from '../dicom/index.js';

/** Everything besides the source that decides the bytes of a derived instance: who agrees on it may take the work. */
export interface Identity {
  /** Name, version and SHA-256 of the weights, as the model's manifest says. */
  model: { name: string; version: string; sha256: string };
  configurationDigest: string;
  softwareVersion: string;
}

/** The identity that a derivation stands for. */
export function identityOf(derivation: Derivation): Identity {
  const { name, version, sha256 } = derivation.model;
  return {
    model: { name, version, sha256 },
    configurationDigest: derivation.configurationDigest,
    softwareVersion: derivation.softwareVersion,
  };
}

/**
 * The queue of an identity. Its name is a function of the identity, so that a worker with another model, version or
 * configuration never sees the job, and old and new ones may run side by side.
 */
export function queueOf({ model, configurationDigest, softwareVersion }: Identity): string {
  const parts = [model.name, model.version, model.sha256, configurationDigest, softwareVersion];
  return `correct-${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32)}`;
}

/** What is the matter between what a gateway asks for and what a worker has of the same model, in words. */
export function differenceOf(asked: Identity, offered: Identity): string {
  const parts: [string, string, string][] = [
    ['version', asked.model.version, offered.model.version],
    ['weights sha256', asked.model.sha256, offered.model.sha256],
    ['configuration digest', asked.configurationDigest, offered.configurationDigest],
    ['software', asked.softwareVersion, offered.softwareVersion],
  ];
  return parts
    .filter(([, theirs, ours]) => theirs !== ours)
    .map(
      ([what, theirs, ours]) => `${what} ${theirs.slice(0, 16)} is asked for, ${ours.slice(0, 16)} is here`,
    )
    .join('; ');
}
