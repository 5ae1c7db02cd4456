/** Storage commitment as provider: what peers ask the archive to keep, and the reports that they are owed. */
export {
  type CommitmentProvider,
  type CommitmentProviderOptions,
  createCommitmentProvider,
} from './provider.js';
