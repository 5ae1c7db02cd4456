/** The PACS of the pipeline benchmark where DCMTK is missing, a process of its own: our provider, writing files. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeMetaHeader } from '../../../src/dicom/index.js';
import { startDimseServer } from '../../../src/dimse/index.js';

const folder = process.argv[2]!;
let stored = 0;
const { port } = await startDimseServer({
  aeTitle: 'PACS',
  host: '127.0.0.1',
  port: 0,
  peers: [{ aeTitle: '*', host: '127.0.0.1' }],
  async onStore(request) {
    const chunks: Buffer[] = [];
    for await (const chunk of request.data) chunks.push(chunk);
    stored += 1;
    await writeFile(
      join(folder, `${stored}.dcm`),
      Buffer.concat([writeMetaHeader({ ...request, sourceAeTitle: request.callingAeTitle }), ...chunks]),
    );
    return { status: 0 };
  },
});
process.send!({ port });
