import { ConfigError } from '../config/index.js';

/** Exit codes of `mcnet`, the same for every command. */
export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

/** Runs a command; a failure becomes one sentence on standard error and an exit code, never a stack trace. */
export async function exitCodeOf(command: () => Promise<number>): Promise<number> {
  try {
    return await command();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    console.error(`mcnet: ${message}`);
    if (process.env.MCNET_DEBUG && error instanceof Error) console.error(error.stack);
    return error instanceof ConfigError ? EXIT.usage : EXIT.failed;
  }
}
