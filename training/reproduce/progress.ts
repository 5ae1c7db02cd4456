import cliProgress from 'cli-progress';

/** Tells how far a stage is: a bar on a terminal, otherwise a line now and then. */
export interface Progress {
  say(line: string): void;
  /** Call with done = 0 first, and until done = total. */
  count(what: string, done: number, total: number): void;
}

const QUIET_MS = 20_000;

export function createProgress(write: (line: string) => void, interactive: boolean): Progress {
  let bar: cliProgress.SingleBar | undefined;
  let toldAt = performance.now();
  const clear = (): void => {
    bar?.stop();
    bar = undefined;
  };
  return {
    say(line) {
      clear();
      write(line);
    },
    count(what, done, total) {
      if (interactive) {
        if (bar === undefined) {
          bar = new cliProgress.SingleBar({
            clearOnComplete: true,
            format: `  ${what} {bar} {value}/{total}, {eta_formatted} left`,
          });
          bar.start(total, done);
        } else bar.update(done);
        if (done >= total) clear();
      } else if (performance.now() - toldAt > QUIET_MS && done < total) {
        write(`  ${what}: ${done} of ${total}`);
        toldAt = performance.now();
      }
    },
  };
}
