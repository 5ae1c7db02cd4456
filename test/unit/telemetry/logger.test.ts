import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../../../src/telemetry/index.js';

function logged(write: (logger: ReturnType<typeof createLogger>) => void): Record<string, unknown> {
  const lines: string[] = [];
  write(createLogger({ level: 'debug', stream: { write: (line: string) => lines.push(line) } }));
  assert.equal(lines.length, 1);
  return JSON.parse(lines[0]!) as Record<string, unknown>;
}

test('a line is JSON with time, level by name, message and fields', () => {
  const line = logged((logger) => logger.info({ series: '1.2.3', slices: 170 }, 'series complete'));
  assert.equal(line.level, 'info');
  assert.equal(line.msg, 'series complete');
  assert.equal(line.series, '1.2.3');
  assert.equal(line.slices, 170);
  assert.match(String(line.time), /^\d{4}-\d\d-\d\dT/);
  assert.equal('hostname' in line, false);
});

test('patient data and credentials never get out, however deep', () => {
  const line = logged((logger) =>
    logger.warn(
      {
        sop: '1.2.3.4',
        patientName: 'DOE^JANE',
        dataSet: { PatientID: '4711', nested: [{ AccessionNumber: 'A1', rows: 256 }] },
        elements: new Map([[0x00100010, 'DOE^JANE']]),
        pixels: new Uint16Array(8),
        request: { headers: { authorization: 'Bearer s3cret' }, url: '/x' },
        remoteAddress: '127.0.0.1',
      },
      'odd',
    ),
  );
  const text = JSON.stringify(line);
  assert.doesNotMatch(text, /DOE|4711|A1"|s3cret/);
  assert.equal(line.sop, '1.2.3.4');
  assert.equal(line.remoteAddress, '127.0.0.1');
  assert.equal(line.pixels, '[16 bytes]');
  assert.match(text, /"rows":256/);
});

test('an error keeps message, code and stack, and nothing that somebody hung on it', () => {
  const error = Object.assign(new Error('cannot decode 1.2.3'), {
    code: 'undecodable',
    patientName: 'DOE^JANE',
  });
  const line = logged((logger) => logger.error({ err: error }, 'failed'));
  const err = line.err as Record<string, unknown>;
  assert.equal(err.message, 'cannot decode 1.2.3');
  assert.equal(err.code, 'undecodable');
  assert.match(String(err.stack), /logger\.test/);
  assert.doesNotMatch(JSON.stringify(line), /DOE/);
});

test('child loggers redact their bindings too', () => {
  const line = logged((logger) =>
    logger
      .child({ series: '1.2.3', patientId: '4711' })
      .child({ sop: '1.2.3.4', patientName: 'DOE' })
      .info('x'),
  );
  assert.equal(line.sop, '1.2.3.4');
  assert.equal(line.series, '1.2.3');
  assert.doesNotMatch(JSON.stringify(line), /4711|DOE/);
});
