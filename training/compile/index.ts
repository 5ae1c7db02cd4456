export type { TracingBackend } from './backend.js';
export {
  type CapturedStep,
  type CapturedVariable,
  captureForward,
  captureStep,
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
export { type SessionOptions, StepSession, StepState } from './session.js';
