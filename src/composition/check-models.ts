import { join } from 'node:path';
import { type Config, ConfigError } from '../config/index.js';
import { loadModel, ModelError } from '../inference/index.js';

/**
 * Every model that a rule names is there and whole.
 * @throws ConfigError with a sentence for each that is not
 */
export async function checkModels(config: Pick<Config, 'models' | 'rules'>): Promise<string[]> {
  const problems: string[] = [];
  const found: string[] = [];
  for (const [index, { model }] of config.rules.entries()) {
    if (model === undefined) continue;
    try {
      const { manifest } = await loadModel(join(config.models, model));
      found.push(`${manifest.name} ${manifest.version} (sha256 ${manifest.sha256})`);
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      problems.push(`rules[${index}].model: ${error.message}`);
    }
  }
  if (problems.length > 0) throw new ConfigError('the configuration', problems);
  return [...new Set(found)];
}
