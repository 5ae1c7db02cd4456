/**
 * C-STORE over loopback, nothing stored: the upper layer alone.
 * Usage: node dist/test/bench/dimse.js [instances] [bytes] [associations]
 */
import { type OutgoingInstance, startDimseServer, storeInstances } from '../../src/dimse/index.js';

const [count = 5000, bytes = 140_000, associations = 1] = process.argv.slice(2).map(Number);
const SOP_CLASS = '1.2.840.10008.5.1.4.1.1.4';
const dataSet = Buffer.alloc(bytes, 7);

async function measure(operations: number): Promise<number> {
  let received = 0;
  const server = await startDimseServer({
    aeTitle: 'MCNET',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: '*', host: '127.0.0.1' }],
    onStore: async (request) => {
      for await (const part of request.data) received += part.length;
      return { status: 0 };
    },
  });
  const target = {
    host: '127.0.0.1',
    port: server.port,
    calledAeTitle: 'MCNET',
    callingAeTitle: 'BENCH',
    operations,
  };
  const instances = (offset: number): OutgoingInstance[] =>
    Array.from({ length: count }, (_, index) => ({
      sopClassUid: SOP_CLASS,
      sopInstanceUid: `1.2.3.${offset}.${index}`,
      transferSyntaxUid: '1.2.840.10008.1.2.1',
      open: () => Promise.resolve(dataSet),
    }));
  const started = performance.now();
  const outcomes = await Promise.all(
    Array.from({ length: associations }, (_, index) => storeInstances(target, instances(index))),
  );
  const seconds = (performance.now() - started) / 1000;
  await server.close();
  const accepted = outcomes.flat().filter((outcome) => outcome.outcome === 'accepted').length;
  if (accepted !== count * associations || received !== accepted * bytes) {
    throw new Error(`${accepted} instances and ${received} bytes arrived`);
  }
  return accepted / seconds;
}

const figures: Record<string, number> = {};
for (const operations of [1, 8]) {
  figures[`instances_per_second_window_${operations}`] = Math.round(await measure(operations));
}
console.log(JSON.stringify({ bench: 'dimse', count, bytes, associations, figures }));
