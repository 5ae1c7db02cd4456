import type { Instance } from '../archive/index.js';
import { framesOf, type StoredFrames } from './stored-frames.js';
import { openStored, type StoredObject } from './stored-object.js';

/** Objects whose headers, and places of frames, were read lately: viewers ask for one frame after another. */
export interface OpenObjects {
  /** @throws DicomError; an error of the file system */
  open(instance: Instance): Promise<StoredObject>;
  /** @throws DicomError when it has no frames, or they cannot be told apart */
  frames(object: StoredObject): Promise<StoredFrames>;
}

const KEPT = 16;
/** Larger headers, some ten thousand frames' functional groups, are read again each time. */
const KEPT_BYTES = 4 * 1024 * 1024;

/** Keeps the latest used few; a failure is not kept. */
export function createOpenObjects(kept = KEPT): OpenObjects {
  const objects = new Map<string, Promise<StoredObject>>();
  const frames = new WeakMap<StoredObject, Promise<StoredFrames>>();
  return {
    async open(instance) {
      // A damaged file that is healed keeps its identity and may get another meta header.
      const key = `${instance.id} ${instance.dataSetOffset} ${instance.bytes}`;
      const opening = objects.get(key) ?? openStored(instance);
      objects.delete(key);
      objects.set(key, opening);
      if (objects.size > kept) objects.delete(objects.keys().next().value!);
      try {
        const object = await opening;
        if ((object.pixelData?.offset ?? object.end) > KEPT_BYTES) objects.delete(key);
        return object;
      } catch (error) {
        objects.delete(key);
        throw error;
      }
    },
    frames(object) {
      let found = frames.get(object);
      if (found === undefined) {
        found = framesOf(object);
        frames.set(object, found);
      }
      return found;
    },
  };
}
