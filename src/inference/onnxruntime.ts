/** ONNX Runtime; nothing else in this project loads it, so that it never reports. */
import './no-telemetry.js';

export * from 'onnxruntime-node';
