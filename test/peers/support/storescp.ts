import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { type Ending, eventually, freePort, startProgram, temporaryFolder } from './process.js';

async function answers(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(undefined));
  });
}

/** DCMTK's storescp on a free (or the given) loopback port, its files in a folder of its own. */
export async function startStorescp(
  t: Ending,
  args: readonly string[] = [],
  at?: { port: number },
): Promise<{ port: number; folder: string; files(): string[]; output(): string; stop(): Promise<void> }> {
  const port = at?.port ?? (await freePort());
  const folder = temporaryFolder(t, 'storescp');
  const started = startProgram(t, 'storescp', [
    '-aet',
    'PACS',
    '-od',
    folder,
    '--unique-filenames',
    ...args,
    String(port),
  ]);
  await eventually('storescp answers', () => answers(port));
  return {
    port,
    folder,
    files: () => readdirSync(folder).map((name) => join(folder, name)),
    output: started.output,
    stop: async () => {
      started.child.kill('SIGKILL');
      await started.exited;
    },
  };
}
