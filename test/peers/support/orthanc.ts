import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Ending, eventually, freePort, startProgram, temporaryFolder } from './process.js';

const DICOMWEB_PLUGIN = '/usr/share/orthanc/plugins/libOrthancDicomWeb.so';

export interface Orthanc {
  dicomPort: number;
  httpPort: number;
  aeTitle: string;
  dicomWebUrl: string;
  /** GET of its REST interface, parsed. */
  get<T>(path: string): Promise<T>;
  /** The bytes of a stored instance's file. */
  file(id: string): Promise<Buffer>;
  output(): string;
}

/** Orthanc with its DICOMweb plugin on free loopback ports. */
export async function startOrthanc(t: Ending, settings: Record<string, unknown> = {}): Promise<Orthanc> {
  const folder = temporaryFolder(t, 'orthanc');
  const [dicomPort, httpPort] = [await freePort(), await freePort()];
  const file = join(folder, 'orthanc.json');
  writeFileSync(
    file,
    JSON.stringify({
      Name: 'PACS',
      StorageDirectory: join(folder, 'storage'),
      IndexDirectory: join(folder, 'index'),
      DicomAet: 'ORTHANC',
      DicomPort: dicomPort,
      HttpPort: httpPort,
      RemoteAccessAllowed: false,
      DicomAlwaysAllowStore: true,
      DicomAlwaysAllowEcho: true,
      Plugins: existsSync(DICOMWEB_PLUGIN) ? [DICOMWEB_PLUGIN] : [],
      DicomWeb: { Enable: true, Root: '/dicom-web/' },
      ...settings,
    }),
  );
  const started = startProgram(t, '/usr/sbin/Orthanc', [file]);
  const base = `http://127.0.0.1:${httpPort}`;
  const get = async <T>(path: string): Promise<T> => {
    const response = await fetch(base + path);
    if (!response.ok) throw new Error(`Orthanc: GET ${path} answered ${response.status}`);
    return (await response.json()) as T;
  };
  await eventually(`Orthanc answers\n${started.output()}`, () =>
    get('/system').then(
      () => true,
      () => undefined,
    ),
  );
  return {
    dicomPort,
    httpPort,
    aeTitle: 'ORTHANC',
    dicomWebUrl: `${base}/dicom-web`,
    get,
    file: async (id) => Buffer.from(await (await fetch(`${base}/instances/${id}/file`)).arrayBuffer()),
    output: started.output,
  };
}
