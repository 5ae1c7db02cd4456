/** A server with one peer, one destination and one rule, whose configuration file is written again while it runs. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type McnetServer, modelsFolder, startMcnet } from './mcnet.js';
import { eventually, runProgram, temporaryFolder } from './process.js';
import { newSeries, writeFiles } from './slices.js';

interface SeriesAnswer {
  series: {
    series: string;
    state: string;
    reason: string;
    destinations: { state: string }[];
    remarks: { kind: string; count: number }[];
  }[];
}

export async function startReloadable(t: TestContext) {
  const folder = temporaryFolder(t);
  const models = await modelsFolder(folder);
  const common = `models: ${models}\nengine: cpu\nretry: { first: 200ms, max: 1s }\n`;
  const file = join(folder, 'mcnet.yaml');
  return {
    folder,
    server: (first: { port: number; peer: string; to?: string }) =>
      startMcnet(t, folder, common + settings(first)),
    write(next: { port: number; peer: string; to?: string }, change = (text: string) => text) {
      const head = readFileSync(file, 'utf8').split('models:', 1)[0]!;
      writeFileSync(file, change(head + common + settings(next)));
    },
    file,
  };
}

const settings = ({ port, peer, to = 'pacs' }: { port: number; peer: string; to?: string }) => `
peers: [{ aeTitle: ${peer}, host: 127.0.0.1 }]
destinations: { ${to}: { dimse: { aeTitle: PACS, host: 127.0.0.1, port: ${port} } } }
rules: [{ name: "for ${to}", when: { Modality: MR }, model: tiny, to: [${to}], complete: { quiet: 200ms } }]
`;

export async function send(
  server: McnetServer,
  folder: string,
  aeTitle: string,
  slices = 3,
): Promise<string> {
  const { seriesUid, instances } = newSeries(slices);
  const scans = join(folder, seriesUid);
  writeFiles(scans, instances);
  const { code, stderr } = await runProgram('storescu', [
    ...['-aet', aeTitle, '-aec', 'MCNET', '127.0.0.1', String(server.dicomPort), '+sd', scans],
  ]);
  assert.equal(code, 0, stderr);
  return seriesUid;
}

export async function ended(server: McnetServer, series: string, ...states: string[]) {
  return eventually(`${series} is ${states.join(' or ')}`, async () => {
    const answer = (await (await fetch(`${server.url}/api/series`)).json()) as SeriesAnswer;
    return answer.series.find((each) => each.series === series && states.includes(each.state));
  });
}

export const echo = async (server: McnetServer, aeTitle: string) =>
  (await runProgram('echoscu', ['-aet', aeTitle, '-aec', 'MCNET', '127.0.0.1', String(server.dicomPort)]))
    .code;
