import type { AuditEvent } from '../../../src/audit/index.js';

const user = { id: 'maria', address: '192.0.2.7' };
const object = {
  study: '1.2.840.1',
  patientId: 'PAT<0>&"1"',
  series: ['1.2.840.1.2', '1.2.840.1.3'],
  instances: { '1.2.840.10008.5.1.4.1.1.4': 170 },
};

/** One of each kind, with the awkward values that people and devices bring. */
export const EVERY_EVENT: readonly AuditEvent[] = [
  { event: 'start' },
  { event: 'stop' },
  { event: 'login', user, outcome: 'success' },
  {
    event: 'login',
    user: { id: 'a\u0000<b>', address: '::1' },
    outcome: 'minor-failure',
    reason: 'Name\nand ]]> & "x"',
  },
  { event: 'logout', user, outcome: 'success' },
  {
    event: 'transfer-begun',
    source: { id: 'PACS', address: '192.0.2.1' },
    destination: { id: 'MCNET' },
    by: 'source',
    object: { study: '1.2', patientId: '' },
    outcome: 'success',
  },
  {
    event: 'transferred',
    source: { id: 'MCNET' },
    destination: { id: 'VNA', address: 'vna.hospital.example' },
    by: 'destination',
    object,
    outcome: 'serious-failure',
    reason: '2 instances were not accepted',
  },
  { event: 'viewed', user, object },
  { event: 'accept', user, object },
  { event: 'reject', user, object },
  { event: 'retry', user, object },
  { event: 'queried', user, sopClass: '1.2.840.10008.5.1.4.1.2.2.1', query: 'PatientName=Müller*\n\u0001' },
  { event: 'deleted', by: { id: 'MCNET' }, object, reason: 'older than 30 days' },
  {
    event: 'alert',
    type: 'node-authentication',
    user: { id: 'STRANGER\ud800', address: '192.0.2.9' },
    what: 'dicom:MCNET',
    reason: 'association rejected: calling AE title STRANGER is not configured as a peer',
    outcome: 'minor-failure',
  },
  { event: 'alert', type: 'restricted-function', what: '/api/x?<y>', reason: 'no', outcome: 'minor-failure' },
  {
    event: 'alert',
    type: 'configuration',
    user,
    what: '/etc/mcnet.yaml',
    reason: 'rules',
    outcome: 'success',
  },
];
