export {
  type NetworkInput,
  type NetworkInputOptions,
  type NetworkLayout,
  paddedLayout,
  padScaled,
  toNetworkInput,
} from './network-input.js';
export { applyResidual, type StoredPixels } from './residual.js';
export { defaultNormalisation, type Normalisation, robustScale, zeroLevel } from './robust-scale.js';
