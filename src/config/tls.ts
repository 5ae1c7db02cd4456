/** Keys of secure associations (PS3.15 B.12). The files are named here and read by whoever opens a connection. */
import { z } from 'zod';
import { host, listenPort, strict, text } from './values.js';

const file = text('the name of a PEM file');

/** `dimse.tls`: how this node proves who it is, and what it asks of those who call. */
export const listenerTls = strict({
  port: listenPort.optional(),
  key: file,
  cert: file,
  ca: file.optional(),
  clientCertificates: z
    .enum(['required', 'optional', 'none'], { error: 'required, optional or none' })
    .default('required'),
}).refine((tls) => tls.ca !== undefined || tls.clientCertificates === 'none', {
  error: 'the file of the authorities that sign client certificates, or dimse.tls.clientCertificates: none',
  path: ['ca'],
});

/** `tls` of a destination, a peer or a source: what is not said is as `dimse.tls` has it. */
export const outgoingTls = strict({
  key: file.optional(),
  cert: file.optional(),
  ca: file.optional(),
  serverName: host.optional(),
}).refine((tls) => (tls.key === undefined) === (tls.cert === undefined), {
  error: 'key and cert together, or neither of them',
});

/** The secure side of the listener. */
export type ListenerTls = z.output<typeof listenerTls>;
/** Secure connections to one peer. */
export type OutgoingTls = z.output<typeof outgoingTls>;
