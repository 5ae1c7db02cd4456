import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { decodableTransferSyntaxes } from '../../../src/dicom/index.js';
import {
  associate,
  commitmentProvider,
  DEFAULT_LIMITS,
  IMPLEMENTATION_CLASS_UID,
  IMPLEMENTATION_VERSION_NAME,
  QUERY_RETRIEVE_SOP_CLASSES,
  queryRetrieveProviders,
  SECURE_PORT,
  serverTlsOptions,
  startDimseServer,
} from '../../../src/dimse/index.js';

const statement = readFileSync(new URL('../../../../deploy/conformance.md', import.meta.url), 'utf8');

/** UIDs in the second column of the table under a heading. */
function uidsUnder(heading: string): string[] {
  const begin = statement.indexOf(`### ${heading}`);
  assert.notEqual(begin, -1, heading);
  const end = statement.indexOf('\n#', begin + 1);
  return [...statement.slice(begin, end).matchAll(/^\| [^|]+ \| ([\d.]+) \|$/gm)].map((match) => match[1]!);
}

test('every SOP class and transfer syntax of the conformance statement is accepted, and no other syntax', async (t) => {
  const server = await startDimseServer({
    aeTitle: 'MCNET',
    host: '127.0.0.1',
    port: 0,
    peers: [{ aeTitle: '*', host: '127.0.0.1' }],
    onStore: async () => ({ status: 0 }),
    services: [
      commitmentProvider({ onRequest: async () => {} }),
      ...queryRetrieveProviders({
        permits: async () => true,
        async *find() {},
        select: () => [],
        targetOf: () => undefined,
      }),
    ],
  });
  t.after(() => server.close(0));
  const target = {
    host: '127.0.0.1',
    port: server.port,
    calledAeTitle: 'MCNET',
    callingAeTitle: 'STATEMENT',
  };
  const sopClasses = uidsUnder('4.2');
  const syntaxes = uidsUnder('4.1');
  assert.ok(sopClasses.length > 100 && syntaxes.length > 10);
  const accepted = async (contexts: { abstractSyntax: string; transferSyntaxes: string[] }[]) => {
    const found = new Set<string>();
    for (let at = 0; at < contexts.length; at += 100) {
      const association = await associate(target, contexts.slice(at, at + 100));
      for (const { abstractSyntax, transferSyntax } of association.contexts.values()) {
        found.add(`${abstractSyntax} ${transferSyntax}`);
      }
      await association.release(5000);
    }
    return found;
  };
  const [explicit, mr] = ['1.2.840.10008.1.2.1', '1.2.840.10008.5.1.4.1.1.4'];
  const classes = await accepted(
    sopClasses.map((abstractSyntax) => ({ abstractSyntax, transferSyntaxes: [explicit] })),
  );
  for (const uid of sopClasses) assert.ok(classes.has(`${uid} ${explicit}`), `SOP class ${uid}`);
  const others = uidsUnder('4.4');
  assert.equal(others.length, 1 + QUERY_RETRIEVE_SOP_CLASSES.length);
  const served = await accepted(
    others.map((abstractSyntax) => ({ abstractSyntax, transferSyntaxes: [explicit] })),
  );
  for (const uid of others) assert.ok(served.has(`${uid} ${explicit}`), `SOP class ${uid}`);
  const stored = await accepted(syntaxes.map((uid) => ({ abstractSyntax: mr, transferSyntaxes: [uid] })));
  for (const uid of syntaxes) assert.ok(stored.has(`${mr} ${uid}`), `transfer syntax ${uid}`);
  for (const uid of ['1.2.840.10008.1.2.4.100', '1.2.840.10008.1.2.4.110']) {
    const { size } = await accepted([{ abstractSyntax: mr, transferSyntaxes: [uid] }]);
    assert.equal(size, 0, `transfer syntax ${uid}`);
  }
  assert.deepEqual([...decodableTransferSyntaxes].sort(), [...syntaxes].sort(), 'section 8');
});

test('the figures of the conformance statement are those of the code', () => {
  const { maxPduLength, associations, associationsPerPeer, artimMs, idleMs, operations } = DEFAULT_LIMITS;
  for (const text of [
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    `${maxPduLength} bytes`,
    `${associations} in all, ${associationsPerPeer} for each peer`,
    `ARTIM timer | ${artimMs / 1000} s`,
    `${idleMs / 1000} s without a byte`,
    `up to ${operations} when proposed`,
  ]) {
    assert.ok(statement.includes(text), `"${text}" is not in deploy/conformance.md`);
  }
});

test('the cipher suites of the conformance statement are those that are offered', () => {
  const begin = statement.indexOf('| cipher suite |');
  const listed = [...statement.slice(begin).matchAll(/^\| (TLS_\w+) \|/gm)].map((match) => match[1]!);
  const offered = String(serverTlsOptions({}, 1000).ciphers)
    .split(':')
    .map((name) =>
      name.startsWith('TLS_')
        ? name
        : `TLS_${name
            .replace(/^ECDHE-(RSA|ECDSA)-/, 'ECDHE_$1_WITH_')
            .replace('AES128', 'AES_128')
            .replace('AES256', 'AES_256')
            .replaceAll('-', '_')}`,
    );
  assert.deepEqual(listed, offered);
  assert.ok(statement.includes(`secure port is ${SECURE_PORT}`));
});
