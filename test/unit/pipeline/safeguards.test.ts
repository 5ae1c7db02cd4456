/** Safeguards of rules that change while series are under way. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { DEFAULT_SAFEGUARDS, type Safeguards } from '../../../src/inference/index.js';
import { openPipeline } from '../../../src/pipeline/index.js';
import {
  atEnd,
  eventually,
  type FakeDerivation,
  FakeDestination,
  type Header,
  invertingModel,
  reader,
  rules,
  slice,
  temporaryFolder,
} from './synthetic.js';

const first: Safeguards = { maxResidual: 0.2, domain: 'off', onFlag: 'pass through' };
const second: Safeguards = { skipBelow: 0.1, maxResidual: 0.5, domain: 'check', onFlag: 'deliver' };

/** A pipeline whose corrections are told with the safeguards that they and their derivation were given. */
async function start(t: TestContext) {
  const seen: { sop: string; series: string; derivation: unknown; correction: unknown }[] = [];
  const inverting = invertingModel();
  const under = (safeguards: Safeguards) => [{ ...rules[0]!, safeguards }];
  const destination = new FakeDestination('pacs');
  const pipeline = await openPipeline<Header, FakeDerivation & { safeguards?: unknown }>({
    data: await temporaryFolder(t),
    rules: under(first),
    dicom: reader,
    models: new Map([
      [
        'test',
        {
          derivation: (_source, safeguards) => ({ model: 'test', safeguards }),
          safeguards: () => DEFAULT_SAFEGUARDS,
          corrector: {
            correct(request) {
              const { sop, series } = request.source;
              const { derivation, safeguards: correction } = request;
              seen.push({ sop, series, derivation: derivation.safeguards, correction });
              return inverting.corrector.correct(request);
            },
          },
        },
      ],
    ]),
    destinations: [destination],
    complete: { quiet: 40, maxAge: 5000 },
  });
  atEnd(t, () => pipeline.close(500));
  const store = async (series: string, number: number) => {
    const incoming = pipeline.intake.beginFile({ source: { protocol: 'dimse', peer: 'S', address: '' } });
    const { file } = slice({ study: '1.2', series: `1.2.${series}`, sop: `1.2.${series}.${number}` });
    await incoming.write(file);
    await incoming.commit();
  };
  const receive = async (series: string, number: number) => {
    await store(series, number);
    await eventually('corrected', () => seen.some(({ sop }) => sop === `1.2.${series}.${number}`));
  };
  return {
    pipeline,
    seen,
    store,
    receive,
    reload: (safeguards: Safeguards, name = rules[0]!.name) =>
      pipeline.reconfigure({
        rules: under(safeguards).map((rule) => ({ ...rule, name })),
        destinations: [destination],
      }),
  };
}

test('a series that has begun keeps its safeguards; one that begins afterwards has the new ones', async (t) => {
  const { pipeline, seen, receive, reload } = await start(t);
  pipeline.start();
  await receive('1', 1);
  reload(second);
  await receive('1', 2);
  await receive('2', 1);
  assert.deepEqual(
    seen.map(({ sop, derivation, correction }) => ({ sop, derivation, correction })),
    [
      { sop: '1.2.1.1', derivation: first, correction: first },
      { sop: '1.2.1.2', derivation: first, correction: first },
      { sop: '1.2.2.1', derivation: second, correction: second },
    ],
  );
  await eventually('delivered', () => pipeline.series.get('1.2.1')?.state === 'delivered');
  assert.equal(pipeline.series.get('1.2.1')?.derivedSeries.length, 1);
});

test('a series that began before safeguards were kept has those of its rule as it is now', async (t) => {
  const { pipeline, seen, store } = await start(t);
  await store('3', 1);
  pipeline.archive.db.run('UPDATE series SET safeguards = NULL');
  pipeline.start();
  await eventually('corrected', () => seen.length === 1);
  assert.deepEqual(seen[0]?.correction, DEFAULT_SAFEGUARDS);
});
