/** Keys and certificates, made by openssl for one test. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DimseTls } from '../../../src/dimse/index.js';
import { type Ending, runProgram, temporaryFolder } from './process.js';

/** Names of PEM files. */
export interface Identity {
  key: string;
  cert: string;
  ca: string;
}

export async function openssl(...args: string[]): Promise<void> {
  const { code, stderr } = await runProgram('openssl', args);
  assert.equal(code, 0, stderr);
}

/** A certificate authority, and a certificate for 127.0.0.1 that it signed. */
export async function identity(t: Ending): Promise<Identity> {
  const folder = temporaryFolder(t, 'tls');
  const at = (name: string) => join(folder, name);
  const request = ['req', '-newkey', 'rsa:2048', '-nodes'];
  const authority = [
    '-x509',
    '-days',
    '90',
    '-subj',
    '/CN=ca',
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.pem'),
  ];
  await openssl(...request, ...authority);
  await openssl(...request, '-subj', '/CN=node', '-keyout', at('node.key'), '-out', at('node.csr'));
  writeFileSync(at('names'), 'subjectAltName=IP:127.0.0.1');
  const certificate = ['-in', at('node.csr'), '-extfile', at('names'), '-out', at('node.pem')];
  const signer = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '90'];
  await openssl('x509', '-req', ...certificate, ...signer);
  return { key: at('node.key'), cert: at('node.pem'), ca: at('ca.pem') };
}

/** The files' contents, as a secure connection takes them. */
export const loaded = ({ key, cert, ca }: Identity): DimseTls => ({
  key: readFileSync(key),
  cert: readFileSync(cert),
  ca: readFileSync(ca),
});
