import * as tf from '@tensorflow/tfjs';
import { backendName, type TracingBackend } from '../backend.js';

/** What a tracing kernel gets: its input tensors by name, its attributes, and the backend that records. */
export interface KernelCall<Attributes> {
  inputs: Readonly<Record<string, tf.TensorInfo>>;
  attributes: Attributes;
  backend: TracingBackend;
}

/** Registers the tracing form of a TensorFlow.js kernel. */
export function traceKernel<Attributes>(
  kernelName: string,
  trace: (call: KernelCall<Attributes>) => tf.TensorInfo | tf.TensorInfo[],
): void {
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc: ({ inputs, attrs, backend }) =>
      trace({
        inputs: inputs as Readonly<Record<string, tf.TensorInfo>>,
        attributes: attrs as Attributes,
        backend: backend as TracingBackend,
      }),
  });
}
