export { Adam, type AdamConfig, adamFactors, defaultAdam } from './adam.js';
export { canGrow, growWeights, type NamedWeights, type WeightShape } from './grow.js';
export {
  computeLoss,
  type LossConfig,
  meanSsim,
  type SsimWindow,
  ssimWindow,
  totalVariation,
} from './loss.js';
export {
  buildNetwork,
  channelsOf,
  correct,
  type NetworkConfig,
  paperNetwork,
  sizeMultiple,
} from './mc-net.js';
export { createTrainer, networkVariables, type StepInputs, type Trainer } from './step.js';
