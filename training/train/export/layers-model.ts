import type * as tf from '@tensorflow/tfjs';

/** A TensorFlow.js layers model as the two files of its folder. */
export interface LayersModelFiles {
  'model.json': Uint8Array;
  'weights.bin': Uint8Array;
}

/** Serialises a model so that `tf.loadLayersModel` reads it from a folder or a web server. */
export async function saveLayersModel(model: tf.LayersModel): Promise<LayersModelFiles> {
  let saved: tf.io.ModelArtifacts | undefined;
  await model.save({
    save: (artifacts) => {
      saved = artifacts;
      return Promise.resolve({ modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } });
    },
  });
  const { modelTopology, format, generatedBy, convertedBy, weightSpecs, weightData } = saved!;
  const buffers = Array.isArray(weightData) ? weightData : [weightData as ArrayBuffer];
  const json = {
    modelTopology,
    format,
    generatedBy,
    convertedBy: convertedBy ?? null,
    weightsManifest: [{ paths: ['weights.bin'], weights: weightSpecs }],
  };
  return {
    'model.json': Buffer.from(JSON.stringify(json)),
    'weights.bin': Buffer.concat(buffers.map((buffer) => new Uint8Array(buffer))),
  };
}
