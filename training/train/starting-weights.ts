import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { NetworkConfig } from '../network/index.js';
import { readCheckpoint } from './checkpoint.js';
import { averageName } from './engine.js';
import { messageOf, TrainingError } from './errors.js';

/** Weights to start a run from, by the name of their variable (`down0_1_conv/kernel`). */
export interface StartingWeights {
  network: NetworkConfig;
  values: ReadonlyMap<string, Float32Array>;
}

interface LayersModel {
  weightsManifest: { paths: string[]; weights: { name: string; shape: number[]; dtype: string }[] }[];
}

/**
 * The averaged weights of another run's checkpoint, or those of a released model's folder (its layers model in `tfjs/`).
 * @throws TrainingError naming the file that cannot be read or is not whole
 */
export function readStartingWeights(path: string): StartingWeights {
  const folder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  return folder ? fromModelFolder(path) : fromCheckpoint(path);
}

function fromCheckpoint(file: string): StartingWeights {
  const { config, variables } = readCheckpoint(file);
  const values = new Map<string, Float32Array>();
  for (const name of variables.keys()) {
    const average = variables.get(averageName(name));
    if (average !== undefined) values.set(name, average.values);
  }
  return { network: config.network, values };
}

function fromModelFolder(folder: string): StartingWeights {
  const read = (name: string): Buffer => {
    try {
      return readFileSync(join(folder, name));
    } catch (error) {
      throw new TrainingError(`${join(folder, name)} cannot be read: ${messageOf(error)}`);
    }
  };
  const parse = <T>(name: string): T => {
    try {
      return JSON.parse(read(name).toString('utf8')) as T;
    } catch (error) {
      if (error instanceof TrainingError) throw error;
      throw new TrainingError(`${join(folder, name)} is no JSON: ${messageOf(error)}`);
    }
  };
  const { network } = parse<{ network?: NetworkConfig & { parameters?: number } }>('model.json');
  if (network === undefined) {
    throw new TrainingError(`${join(folder, 'model.json')} does not say what the network is`);
  }
  const { parameters: _, ...config } = network;
  const values = new Map<string, Float32Array>();
  for (const { paths, weights } of parse<LayersModel>('tfjs/model.json').weightsManifest) {
    const bytes = Buffer.concat(paths.map((path) => read(join('tfjs', path))));
    let at = 0;
    for (const { name, shape } of weights) {
      const length = 4 * shape.reduce((product, size) => product * size, 1);
      if (at + length > bytes.length) {
        throw new TrainingError(`${join(folder, 'tfjs')}: the weights end in the middle of ${name}`);
      }
      values.set(name, new Float32Array(Uint8Array.from(bytes.subarray(at, at + length)).buffer));
      at += length;
    }
  }
  return { network: config, values };
}
