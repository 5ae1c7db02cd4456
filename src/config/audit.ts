import { z } from 'zod';
import { bytes, host, strict, targetPort, text, whole } from './values.js';

/** Where the audit trail (PS3.15 A.5) goes. Absent: into the data folder. */
export const audit = strict({
  source: text("this server's name in the trail: letters, digits, dot, dash", (value) =>
    /^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$/.test(value),
  ).default('mcnet'),
  file: strict({
    path: text('a file').optional(),
    rotate: bytes.prefault('64MiB'),
    keep: whole(1, 100_000, 'rotated files kept').default(1000),
  }).prefault({}),
  syslog: strict({
    host,
    port: targetPort.default(6514),
    transport: z.enum(['tls', 'udp'], { error: 'tls or udp' }).default('tls'),
    ca: text('the path of a PEM file with the certificates of the authority').optional(),
    certificate: text('the path of a PEM file with our certificate').optional(),
    key: text('the path of a PEM file with our private key').optional(),
  }).optional(),
}).prefault({});
