import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { startProvider } from '../../../src/composition/dimse-provider.js';
import { openServices } from '../../../src/composition/dimse-services.js';
import { type Config, loadConfig } from '../../../src/config/index.js';
import * as dicom from '../../../src/dicom/index.js';
import { openPipeline, type Pipeline } from '../../../src/pipeline/index.js';
import { createLogger } from '../../../src/telemetry/index.js';
import { atEnd } from './process.js';

export interface Node {
  port: number;
  /** Of secure associations, where they have a port of their own. */
  securePort?: number;
  pipeline: Pipeline;
}

/** The archive and all its DIMSE services, without models: what is received is kept and left alone. */
export async function startNode(
  t: TestContext,
  overrides: Partial<Config> = {},
  log?: { write(line: string): void },
): Promise<Node> {
  const config: Config = {
    ...loadConfig(),
    data: mkdtempSync(join(tmpdir(), 'node-')),
    dimse: { host: '127.0.0.1', port: 0 },
    rules: [],
    ...overrides,
  };
  const pipeline = await openPipeline({
    data: config.data,
    rules: config.rules,
    dicom,
    models: new Map(),
    destinations: [],
  });
  const services = openServices(config, pipeline);
  const server = await startProvider({
    config,
    intake: pipeline.intake,
    services: services.services,
    logger: createLogger(log === undefined ? { level: 'silent' } : { level: 'info', stream: log }),
    associationEnded: (id) => pipeline.associationEnded(id),
  });
  pipeline.start();
  services.start();
  atEnd(t, async () => {
    await server.close(0);
    await services.close();
    await pipeline.close(500);
    rmSync(config.data, { recursive: true });
  });
  return {
    port: server.port,
    ...(server.securePort !== undefined && { securePort: server.securePort }),
    pipeline,
  };
}
