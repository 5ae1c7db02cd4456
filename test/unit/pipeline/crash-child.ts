/**
 * A server that is meant to be killed: it receives slices, prints the SOP Instance UID of each one that it
 * acknowledges, corrects and delivers (appending what it sends to a file, as a destination would keep it).
 * Arguments: data folder, file of the destination, first and last slice number.
 */
import { appendFileSync } from 'node:fs';
import { openPipeline } from '../../../src/pipeline/index.js';
import {
  accepted,
  explicitLittleEndian,
  type FakeDerivation,
  FakeDestination,
  type Header,
  invertingModel,
  mrImageStorage,
  reader,
  rules,
  slice,
} from './synthetic.js';

const [data, delivered, first, last] = process.argv.slice(2) as [string, string, string, string];

const pacs = new FakeDestination('pacs', (sop) => {
  appendFileSync(delivered, `${sop}\n`);
  return accepted;
});
const pipeline = await openPipeline<Header, FakeDerivation>({
  data,
  rules: rules.map((rule) => ({ ...rule, deliver: 'slice' as const })),
  dicom: reader,
  models: new Map([['test', invertingModel()]]),
  destinations: [pacs],
  retry: { deliver: { baseMs: 5, capMs: 20 } },
});
process.stdout.write(`recovery ${JSON.stringify(pipeline.recovery)}\n`);
pipeline.start();

const numbers = Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i);
const sender = async () => {
  for (let n = numbers.shift(); n !== undefined; n = numbers.shift()) {
    // One in eight is large enough to be streamed to the incoming folder.
    const pixels = Buffer.alloc(n % 8 === 0 ? 4_500_000 : 20_000, n);
    const one = slice({ sop: `1.2.3.4.${n}`, series: `1.2.3.${n % 3}`, pixels });
    const incoming = pipeline.intake.beginDataSet({
      source: { protocol: 'dimse', peer: 'SCANNER', address: '127.0.0.1' },
      transferSyntaxUid: explicitLittleEndian,
      sopClassUid: mrImageStorage,
      sopInstanceUid: one.sop,
    });
    for (let at = 0; at < one.dataSet.length; at += 65_536) {
      await incoming.write(one.dataSet.subarray(at, at + 65_536));
    }
    const { outcome } = await incoming.commit();
    process.stdout.write(`acknowledged ${one.sop} ${outcome}\n`);
  }
};
await Promise.all([sender(), sender(), sender()]);
process.stdout.write('all sent\n');
// A server's listening sockets keep its process alive until it is killed; the pipeline's own timers do not.
setInterval(() => {}, 60_000);
