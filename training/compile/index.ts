export type { Lowering, TracingBackend } from './backend.js';
export {
  type CapturedStep,
  type CapturedVariable,
  captureForward,
  captureStep,
  fromGraph,
  toGraph,
  tracingBackend,
  withTracing,
} from './capture.js';
export {
  captureInference,
  foldBatchNormalisation,
  inferenceInput,
  inferenceOutput,
} from './inference.js';
export { encodeModel, type OnnxGraph } from './onnx.js';
export type { Provider, SessionOptions } from './provider.js';
export { repeatStep } from './repeat.js';
export { StepSession } from './session.js';
export { StepState } from './state.js';
