/** All vendors' folders of the shared data through the real server, and a table of what became of each. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { TestContext } from 'node:test';
import { inflateRawSync } from 'node:zlib';
import { readHeader } from '../../../src/dicom/index.js';
import { storeInstances } from '../../../src/dimse/index.js';
import { sharedSeries } from './data.js';
import { attribute, dcmToJson, errorsOf, type JsonDataSet } from './inspect.js';
import { joinPart10, splitPart10 } from './part10.js';
import { eventually, needPrograms, temporaryFolder } from './process.js';
import { type RunningProcess, startServerProcess } from './server.js';

const DEFLATED = '1.2.840.10008.1.2.1.99';
const EXPLICIT = '1.2.840.10008.1.2.1';
const CHECKS_AT_A_TIME = 4;

const SETTINGS = `rules:
  - { name: brain, when: { Modality: MR, BodyPartExamined: [BRAIN, HEAD] }, model: mcnet, to: [] }
  - { name: other MR, when: { Modality: MR }, model: mcnet, to: [] }`;

const brain = 'corrected by rule "brain"';
const other = 'corrected by rule "other MR"';
const mosaic =
  'left alone: mosaic: many slices tiled into one image (Image Type ORIGINAL\\PRIMARY\\M\\ND\\MOSAIC)';

/** Of each folder: how many files it has, and what is decided about how many of them, and why. */
const EXPECTED: Record<string, Record<string, number>> = {
  a01: { [brain]: 170 },
  a02: { [brain]: 35 },
  a03: { [brain]: 12 },
  a04: { [brain]: 30 },
  a05: { [brain]: 24 },
  a06: { 'left alone: derived image (Image Type DERIVED\\SECONDARY)': 20 },
  a07: { [other]: 1 },
  a08: { 'left alone: real part of a complex image (Complex Image Component REAL)': 1 },
  a09: { [brain]: 4 },
  a10: { [brain]: 52 },
  a11: { [mosaic]: 9 },
  a12: { [other]: 20 },
  a13: { [mosaic]: 3 },
  a14: {
    'left alone: derived image (Image Type DERIVED\\SECONDARY\\OTHER)': 8,
    'left alone: real part of a complex image (Image Type DERIVED\\PRIMARY\\OTHER\\R\\IR)': 6,
    'left alone: real part of a complex image (Image Type DERIVED\\SECONDARY\\OTHER\\R\\IR)': 1,
    'left alone: real part of a complex image (Image Type ORIGINAL\\PRIMARY\\OTHER\\R\\IR)': 1,
  },
  a15: { [brain]: 40 },
};

/** Objects whose originals are valid: what is derived from them has no error at all. */
const FAULTLESS = new Set(['a02', 'a10']);

interface Sent {
  folder: string;
  path: string;
  sop: string;
  series: string;
  sopClass: string;
  transferSyntax: string;
  dataSet: Buffer;
}

interface Row {
  files: number;
  syntaxes: Set<string>;
  received: number;
  asSent: number;
  decisions: Record<string, number>;
  derived: number;
  valid: number;
}

function read(folder: string, path: string): Sent {
  const { dataSet, transferSyntaxUid } = splitPart10(path);
  const header = readHeader(readFileSync(path));
  // A deflated data set is padded to an even length for its way (PS3.5 A.5).
  const padding = Buffer.alloc(transferSyntaxUid === DEFLATED ? dataSet.length % 2 : 0);
  return {
    folder,
    path,
    sop: header.sopInstanceUid,
    series: header.seriesInstanceUid,
    sopClass: header.sopClassUid,
    transferSyntax: transferSyntaxUid,
    dataSet: Buffer.concat([dataSet, padding]),
  };
}

/** Each wave has a SOP Instance UID once: what comes under a known one replaces it. */
function wavesOf(files: readonly Sent[]): Sent[][] {
  const waves: Sent[][] = [];
  const times = new Map<string, number>();
  for (const file of files) {
    const wave = times.get(file.sop) ?? 0;
    times.set(file.sop, wave + 1);
    waves[wave] ??= [];
    waves[wave].push(file);
  }
  return waves;
}

interface Slice {
  sop: string;
  state: string;
  reason?: string;
  derived: boolean;
}

/** What was decided about each instance of a series, once nothing waits. */
async function decisionsOf(server: RunningProcess, series: string): Promise<Map<string, string>> {
  const slices = await eventually(`series ${series} is worked off`, async () => {
    const answer = await server.get<{ slices: Slice[] } | Slice[]>(`/api/series/${series}/slices`);
    const list = Array.isArray(answer) ? answer : answer.slices;
    return list.some(({ state }) => state === 'pending') ? undefined : list;
  });
  const { rule } = await server.get<{ rule?: string }>(`/api/series/${series}`);
  return new Map(
    slices.map(({ sop, state, reason }) => [
      sop,
      state === 'corrected' ? `corrected by rule "${rule}"` : `${state.replace('-', ' ')}: ${reason}`,
    ]),
  );
}

/** SOP Instance UID in the Source Image Sequence: of the object, or of a multi-frame object's first frame. */
function sourceOf(dataSet: JsonDataSet): string | undefined {
  const inside = (tag: string, of: JsonDataSet | undefined) =>
    of && (attribute(of, tag)[0] as JsonDataSet | undefined);
  const frame = inside('00089124', inside('52009230', dataSet) ?? inside('52009229', dataSet));
  const reference = inside('00082112', dataSet) ?? inside('00082112', frame);
  return reference && String(attribute(reference, '00081155')[0]);
}

function filesOf(data: string): string[] {
  const root = join(data, 'archive');
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.dcm'))
    .map((name) => join(root, name));
}

/** A file that dciodvfy can read; it does not know deflated ones. */
function readable(sent: Sent, folder: string): string {
  if (sent.transferSyntax !== DEFLATED) return sent.path;
  const path = join(folder, `${sent.sop}.dcm`);
  writeFileSync(
    path,
    joinPart10({
      sopClassUid: sent.sopClass,
      sopInstanceUid: sent.sop,
      transferSyntaxUid: EXPLICIT,
      dataSet: inflateRawSync(sent.dataSet),
    }),
  );
  return path;
}

function linesOf(rows: ReadonlyMap<string, Row>): string[] {
  return [...rows].flatMap(([name, row]) => {
    const syntaxes = `${row.syntaxes.size} transfer syntax${row.syntaxes.size === 1 ? '' : 'es'}`;
    const counts = `received ${row.received}/${row.files}, as sent ${row.asSent}, derived ${row.derived}, valid ${row.valid}`;
    return [
      `${name}: ${syntaxes}; ${counts}`,
      ...Object.entries(row.decisions).map(([decision, count]) => `     ${count} ${decision}`),
    ];
  });
}

/**
 * Sends the folders' files to one server, prints the table, and compares it with what is expected.
 * @param perSyntax files of each folder and transfer syntax; default all
 */
export async function everyVendor(t: TestContext, perSyntax = Number.POSITIVE_INFINITY): Promise<void> {
  if (!needPrograms(t, 'dciodvfy', 'dcm2json')) return;
  const chosen: Sent[] = [];
  for (const name of Object.keys(EXPECTED)) {
    const paths = sharedSeries(t, name);
    if (paths === undefined) return;
    const taken = new Map<string, number>();
    for (const path of paths) {
      const file = read(name, path);
      const times = taken.get(file.transferSyntax) ?? 0;
      if (times >= perSyntax) continue;
      taken.set(file.transferSyntax, times + 1);
      chosen.push(file);
    }
  }
  const server = await startServerProcess(t, SETTINGS);
  const rows = new Map<string, Row>();
  for (const { folder, transferSyntax } of chosen) {
    const row = rows.get(folder) ?? {
      files: 0,
      syntaxes: new Set<string>(),
      received: 0,
      asSent: 0,
      decisions: {},
      derived: 0,
      valid: 0,
    };
    rows.set(folder, row);
    row.files += 1;
    row.syntaxes.add(transferSyntax);
  }

  const problems: string[] = [];
  for (const wave of wavesOf(chosen)) {
    const outcomes = await storeInstances(
      { host: '127.0.0.1', port: server.dicomPort, calledAeTitle: 'MCNET', callingAeTitle: 'VENDORS' },
      wave.map((file) => ({
        sopClassUid: file.sopClass,
        sopInstanceUid: file.sop,
        transferSyntaxUid: file.transferSyntax,
        open: async () => file.dataSet,
      })),
    );
    outcomes.forEach(({ outcome, message }, n) => {
      if (outcome === 'accepted') rows.get(wave[n]!.folder)!.received += 1;
      else problems.push(`${wave[n]!.path}: ${message}`);
    });
    const decisions = new Map<string, Map<string, string>>();
    for (const { series } of wave) {
      if (!decisions.has(series)) decisions.set(series, await decisionsOf(server, series));
    }
    for (const { folder, series, sop } of wave) {
      const decision = decisions.get(series)!.get(sop) ?? 'unknown to the server';
      const row = rows.get(folder)!;
      row.decisions[decision] = (row.decisions[decision] ?? 0) + 1;
    }
  }

  const stored = filesOf(server.data);
  const received = new Set<string>();
  for (const file of chosen) {
    const same = stored.find(
      (path) =>
        basename(path).replace(/(\.v\d+)?\.dcm$/, '') === file.sop &&
        splitPart10(path).transferSyntaxUid === file.transferSyntax &&
        splitPart10(path).dataSet.equals(file.dataSet),
    );
    if (same === undefined) problems.push(`${file.path}: not in the archive as it was sent`);
    else {
      received.add(same);
      rows.get(file.folder)!.asSent += 1;
    }
  }

  const bySop = new Map(chosen.map((file) => [file.sop, file]));
  const folder = temporaryFolder(t, 'vendors');
  const derived = stored.filter((path) => !received.has(path));
  const check = async (path: string) => {
    const source = bySop.get(sourceOf(await dcmToJson(path)) ?? '');
    if (source === undefined) {
      problems.push(`${path} is neither received nor derived from anything received`);
      return;
    }
    const row = rows.get(source.folder)!;
    row.derived += 1;
    const known = await errorsOf(readable(source, folder));
    const fresh = [...(await errorsOf(path))].filter(
      (error) => FAULTLESS.has(source.folder) || !known.has(error),
    );
    if (fresh.length === 0) row.valid += 1;
    else problems.push(`derived from ${source.path}: ${fresh.join('; ')}`);
  };
  for (let i = 0; i < derived.length; i += CHECKS_AT_A_TIME) {
    await Promise.all(derived.slice(i, i + CHECKS_AT_A_TIME).map(check));
  }

  for (const line of linesOf(rows)) t.diagnostic(line);
  assert.deepEqual(problems, []);
  for (const [name, row] of rows) {
    const corrected = Object.entries(row.decisions)
      .filter(([decision]) => decision.startsWith('corrected'))
      .reduce((sum, [, count]) => sum + count, 0);
    assert.deepEqual(
      [row.received, row.asSent, row.derived, row.valid],
      [row.files, row.files, corrected, corrected],
      `${name}: received, stored as sent, derived, valid`,
    );
    const expected = EXPECTED[name]!;
    if (perSyntax === Number.POSITIVE_INFINITY) assert.deepEqual(row.decisions, expected, name);
    for (const decision of Object.keys(row.decisions)) {
      assert.ok(decision in expected, `${name}: "${decision}"`);
    }
  }
  assert.equal(server.child.exitCode, null, server.output());
}
