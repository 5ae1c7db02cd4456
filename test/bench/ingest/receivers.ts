/** The servers that are compared: each fresh, on the same disk, with its durable settings. */
import { join } from 'node:path';
import { startOrthanc } from '../../peers/support/orthanc.js';
import type { Ending } from '../../peers/support/process.js';
import { startServerProcess } from '../../peers/support/server.js';
import { startStorescp } from '../../peers/support/storescp.js';

export interface Receiver {
  aeTitle: string;
  dicomPort: number;
  /** Root of its DICOMweb service, where it has one. */
  stowUrl?: string;
  /** Instances that it has. */
  stored(): Promise<number>;
  /** Event-loop delay since the last call, 99th percentile, ms; of our server. */
  loopDelayMs?(): Promise<number>;
}

export const RECEIVERS = {
  mcnet: 'each object synced to the journal before its Success; file, folder and index from it',
  orthanc: 'SyncStorageArea true: files synced; its SQLite index as it ships (WAL, synchronous NORMAL)',
  storescp: '--fork; no sync',
} as const;
export type ReceiverName = keyof typeof RECEIVERS;

async function metric(api: string, name: string): Promise<number> {
  const text = await (await fetch(`${api}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(name) && !line.startsWith('#'))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

/** Starts one with an empty archive below `folder`. */
export async function startReceiver(name: ReceiverName, folder: string, ending: Ending): Promise<Receiver> {
  if (name === 'mcnet') {
    const nodeOptions = (process.env.MCNET_BENCH_NODE_OPTIONS ?? '').split(' ').filter((text) => text !== '');
    const server = await startServerProcess(ending, 'rules: []', {
      data: join(folder, 'mcnet'),
      nodeOptions,
    });
    ending.after(async () => {
      server.child.kill('SIGTERM');
      await server.exited;
    });
    return {
      aeTitle: 'MCNET',
      dicomPort: server.dicomPort,
      stowUrl: `${server.api}/dicom-web`,
      stored: () => metric(server.api, 'mcnet_instances_received_total{'),
      loopDelayMs: async () => 1000 * (await metric(server.api, 'nodejs_eventloop_lag_p99_seconds ')),
    };
  }
  if (name === 'orthanc') {
    const orthanc = await startOrthanc(ending, {
      StorageDirectory: join(folder, 'orthanc'),
      IndexDirectory: join(folder, 'orthanc'),
      SyncStorageArea: true,
    });
    return {
      aeTitle: orthanc.aeTitle,
      dicomPort: orthanc.dicomPort,
      stowUrl: orthanc.dicomWebUrl,
      stored: async () => (await orthanc.get<{ CountInstances: number }>('/statistics')).CountInstances,
    };
  }
  const storescp = await startStorescp(ending, ['--fork']);
  return {
    aeTitle: 'PACS',
    dicomPort: storescp.port,
    stored: async () => storescp.files().length,
  };
}
