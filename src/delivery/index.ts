/** Destinations, and the sending of derived series until every instance is accounted for. */
export { type Breaker, createBreaker } from './breaker.js';
export { createDelivery, type Delivery, type DeliveryOptions, type DeliveryRetry } from './delivery.js';
export {
  type Deliverable,
  type Destination,
  dicomwebDestination,
  dimseDestination,
  type Outcome,
  type SendOptions,
  type StorageUser,
  type StowUser,
} from './destination.js';
