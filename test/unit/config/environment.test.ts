import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig, parseByteSize, parseDuration } from '../../../src/config/index.js';

test('a variable overrides its key, whatever its type', () => {
  const config = loadConfig({
    env: {
      MCNET_HTTP__PORT: '8081',
      MCNET_AE_TITLE: '123',
      MCNET_HTTP__ALLOWED_HOSTS: '[mcnet.example, other]',
      MCNET_PEERS__0__AETITLE: 'PACS',
      MCNET_PEERS__0__HOST: '10.0.0.5',
      MCNET_DESTINATIONS__PACS__DIMSE: '{aeTitle: PACS, host: 10.0.0.5, port: 104}',
      MCNET_DESTINATIONS__VNA__DICOMWEB__URL: 'http://10.0.0.6/dicom-web',
      MCNET_DESTINATIONS__VNA__DICOMWEB__HEADERS__AUTHORIZATION: 'Bearer abc',
      MCNET_LIMITS__INSTANCE_BYTES: '1GB',
      MCNET_CONCURRENCY__WORKERS: '3',
      MCNET_DATA_FOLDER: '/srv/mcnet',
    },
  });
  assert.equal(config.http.port, 8081);
  assert.equal(config.aeTitle, '123');
  assert.deepEqual(config.http.allowedHosts, ['mcnet.example', 'other']);
  assert.deepEqual(config.peers, [{ aeTitle: 'PACS', host: '10.0.0.5' }]);
  assert.equal(config.destinations.pacs?.dimse?.port, 104);
  assert.deepEqual(config.destinations.vna?.dicomweb?.headers, { authorization: 'Bearer abc' });
  assert.equal(config.limits.instanceBytes, 1e9);
  assert.equal(config.concurrency.workers, 3);
  assert.equal(config.data, '/srv/mcnet');
});

test('variables that lead nowhere are warned about; those of others are left alone', () => {
  const warnings: string[] = [];
  const config = loadConfig({
    env: {
      MCNET_HTTP__PROT: '1',
      MCNET_DATA: '/work/shared/data',
      MCNET_SERVICE_HOST: '10.1.1.1',
      MCNET_PORT: 'tcp://10.1.1.1:80',
      MCNET_PORT_80_TCP_ADDR: '10.1.1.1',
      OTHER: 'x',
    },
    onWarning: (message) => warnings.push(message),
  });
  assert.deepEqual(warnings, [
    'environment variable MCNET_HTTP__PROT is ignored: "PROT" is not a key; did you mean "port"?',
  ]);
  assert.notEqual(config.data, '/work/shared/data');
});

test('a listener beyond loopback that nobody may reach is warned about', () => {
  const warnings: string[] = [];
  loadConfig({ env: { MCNET_DIMSE__HOST: '0.0.0.0' }, onWarning: (message) => warnings.push(message) });
  assert.match(warnings[0]!, /peers lists only this machine/);
});

test('durations and amounts', () => {
  assert.deepEqual(['250ms', '5s', '1.5h', '7d', '10 m', '5', 'soon', '-1s', ''].map(parseDuration), [
    250,
    5000,
    5_400_000,
    604_800_000,
    600_000,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  assert.deepEqual(['65536', '512MB', '4GiB', '1.5k', '1 kB', 'much', '-1'].map(parseByteSize), [
    65536,
    512e6,
    4 * 2 ** 30,
    undefined,
    1000,
    undefined,
    undefined,
  ]);
});
