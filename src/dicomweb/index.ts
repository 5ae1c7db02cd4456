export { createFrameDecoder, type FrameDecoder } from './frame-decoder.js';
export { type Holdings, holdingsOf } from './holdings.js';
export { optionsOf, otherMethods } from './other-methods.js';
export { encodePng, type Picture } from './png.js';
export { createQueryProvider, type QueryProviderOptions } from './query-provider.js';
export {
  type Attributes,
  DicomWebError,
  type DicomWebSource,
  retrieveSeries,
  search,
} from './retrieve-client.js';
export { createRetrieveProvider, type RetrieveProviderOptions } from './retrieve-provider.js';
export { createSenders, type Senders } from './senders.js';
export { createStoreProvider, discardRest, type StoreProviderOptions } from './store-provider.js';
export type { FileIntake, IncomingFile, StoreEvent, StoreLimits, StoreSource } from './store-request.js';
export {
  echo,
  StowError,
  type StowInstance,
  type StowOptions,
  type StowOutcome,
  type StowTarget,
  stow,
} from './stow-client.js';
