/** Destinations, and the sending of derived series until every instance is accounted for. */
export { type Breaker, createBreaker } from './breaker.js';
export { createDelivery, type Delivery, type DeliveryOptions, type DeliveryRetry } from './delivery.js';
export {
  type Commitment,
  type CommitmentReport,
  type CommitmentUser,
  type Deliverable,
  type Destination,
  dicomwebDestination,
  dimseCommitment,
  dimseDestination,
  type Outcome,
  type SendOptions,
  type SopReference,
  type StorageUser,
  type StowUser,
} from './destination.js';
