import type { Instance } from '../archive/index.js';
import { DicomError } from '../dicom/index.js';
import { jsonDataSet } from './dicom-json.js';
import type { JsonDataSet } from './json-model.js';
import { openStored } from './stored-object.js';

/** What the index knows by itself: enough to find an object whose file cannot be read. */
function identity({ study, series, sop, sopClass }: Instance): JsonDataSet {
  const uid = (value: string) => ({ vr: 'UI', Value: [value] });
  return {
    '00080016': uid(sopClass),
    '00080018': uid(sop),
    '0020000D': uid(study),
    '0020000E': uid(series),
  };
}

/** Every attribute of an instance before the pixel data, from its file; long ones by their BulkDataURI. */
export async function headerOf(
  instance: Instance,
  bulkDataUri: (path: readonly string[]) => string,
): Promise<JsonDataSet> {
  try {
    return jsonDataSet((await openStored(instance)).dataSet, { bulkDataUri });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (error instanceof DicomError || code === 'ENOENT' || code === 'EIO') return identity(instance);
    throw error;
  }
}
