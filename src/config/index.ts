export { parseByteSize } from './byte-size.js';
export { parseDuration } from './duration.js';
export { keyPaths } from './keys.js';
export { ConfigError, type LoadOptions, loadConfig } from './load.js';
export { isLoopback, plainAddress } from './loopback.js';
export { type Config, configSchema, type DestinationConfig, type Peer, type Rule } from './schema.js';
export type { PullRule, SourceConfig } from './sources.js';
export type { ListenerTls, OutgoingTls } from './tls.js';
