import { type Config, ConfigError } from '../config/index.js';
import { tagOf } from '../dicom/index.js';

/**
 * Every keyword that a rule or a pull rule compares is one of the data dictionary.
 * @throws ConfigError with a sentence for each that is not
 */
export function checkKeywords({ rules, pull }: Pick<Config, 'rules' | 'pull'>): void {
  const used = [
    ...rules.flatMap(({ when }, at) => Object.keys(when).map((keyword) => [`rules[${at}].when`, keyword])),
    ...pull.flatMap(({ query }, at) => Object.keys(query).map((keyword) => [`pull[${at}].query`, keyword])),
  ] as [string, string][];
  const problems = used.flatMap(([place, keyword]) => {
    try {
      tagOf(keyword);
      return [];
    } catch (error) {
      return [`${place}.${keyword}: ${(error as Error).message}; expected one such as BodyPartExamined`];
    }
  });
  if (problems.length > 0) throw new ConfigError('the configuration', problems);
}
