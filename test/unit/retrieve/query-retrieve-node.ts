import type { TestContext } from 'node:test';
import { startProvider } from '../../../src/composition/dimse-provider.js';
import { openServices } from '../../../src/composition/dimse-services.js';
import type { Config } from '../../../src/config/index.js';
import type { Pipeline } from '../../../src/pipeline/index.js';
import { createLogger } from '../../../src/telemetry/index.js';
import { atEnd } from '../pipeline/synthetic.js';

/** Our node over a pipeline, until the test ends; resolves with its port. */
export async function startNode(t: TestContext, config: Config, pipeline: Pipeline): Promise<number> {
  const services = openServices(config, pipeline);
  const server = await startProvider({
    config,
    intake: pipeline.intake,
    services: services.services,
    logger: createLogger({ level: 'silent' }),
    associationEnded: () => {},
  });
  atEnd(t, async () => {
    await server.close(0);
    await services.close();
  });
  return server.port;
}
