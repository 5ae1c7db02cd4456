import type { Instance } from '../archive/index.js';
import { type DataSet, DicomError } from '../dicom/index.js';
import { jsonAttribute, jsonDataSet, jsonTag } from './dicom-json.js';
import type { JsonDataSet } from './json-model.js';
import { INSTANCE_ATTRIBUTES, SERIES_ATTRIBUTES, STUDY_ATTRIBUTES } from './query-attributes.js';
import { openStored } from './stored-object.js';

/** The headers of instances as searches see them. */
export interface Headers {
  /** The attributes of the tables, from memory where they were read before. */
  common(instance: Instance): Promise<JsonDataSet>;
  /** Every attribute before the pixel data, long ones by their BulkDataURI. */
  whole(instance: Instance, bulkDataUri: (path: readonly string[]) => string): Promise<JsonDataSet>;
}

const COMMON = [...new Set([...STUDY_ATTRIBUTES, ...SERIES_ATTRIBUTES, ...INSTANCE_ATTRIBUTES])];
/** Some 2 KB each. */
const KEPT = 20_000;

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

function commonOf(dataSet: DataSet): JsonDataSet {
  const json: JsonDataSet = {};
  for (const tag of COMMON) {
    const element = dataSet.elements.get(tag);
    if (element) json[jsonTag(tag)] = jsonAttribute(dataSet, element);
  }
  return json;
}

/** Reads headers from the files; what does not change with the content of an instance is kept, the latest used. */
export function createHeaders(kept = KEPT): Headers {
  const known = new Map<number, JsonDataSet>();

  async function read(
    instance: Instance,
    make: (dataSet: DataSet) => JsonDataSet,
  ): Promise<JsonDataSet | undefined> {
    try {
      return make((await openStored(instance)).dataSet);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (error instanceof DicomError || code === 'ENOENT' || code === 'EIO') return undefined;
      throw error;
    }
  }

  return {
    async common(instance) {
      const remembered = known.get(instance.id);
      if (remembered) {
        known.delete(instance.id);
        known.set(instance.id, remembered);
        return remembered;
      }
      const header = await read(instance, commonOf);
      if (header === undefined) return identity(instance);
      if (known.size >= kept) known.delete(known.keys().next().value!);
      known.set(instance.id, header);
      return header;
    },
    async whole(instance, bulkDataUri) {
      return (await read(instance, (dataSet) => jsonDataSet(dataSet, { bulkDataUri }))) ?? identity(instance);
    },
  };
}
