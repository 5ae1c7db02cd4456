import pino, { type DestinationStream, type Logger } from 'pino';
import { scrubFields } from './scrub.js';

export type { Logger } from 'pino';

export interface LoggerOptions {
  /** Default: info. */
  level?: string;
  /** Where the lines go; default: standard output. */
  stream?: DestinationStream;
}

/**
 * A logger of JSON lines: time (ISO 8601), level by name, message and fields.
 * Fields carry UIDs, counts and durations; those that would carry patient data or credentials are redacted by name,
 * pixel data and data sets never get out. Messages themselves must be constant text with UIDs at most.
 */
export function createLogger(options: LoggerOptions = {}): Logger {
  const logger = pino(
    {
      level: options.level ?? 'info',
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => scrubFields(fields),
      },
      // pino's own serializer of `err` would run before the formatter, and copy every field of the error.
      serializers: { err: (value: unknown) => value },
    },
    options.stream ?? pino.destination({ dest: 1, sync: false }),
  ); // pino has no formatter for the bindings of children; they inherit this method, and so do theirs.
  const child = logger.child;
  logger.child = function scrubbed(this: Logger, bindings, childOptions) {
    return child.call(this, scrubFields(bindings), childOptions) as ReturnType<typeof child>;
  } as typeof child;
  return logger;
}
