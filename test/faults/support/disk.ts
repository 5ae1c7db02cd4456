/** A file system of its own whose power can be cut: what was not synced is gone afterwards. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { atEnd } from '../../peers/support/process.js';

export interface Disk {
  folder: string;
  /** Ends the file system at once without writing anything more (FS_IOC_SHUTDOWN, without the log). */
  cutPower(): void;
  /** After the last user has gone: mounted again, as a machine does that starts. */
  restart(): void;
}

/** FS_IOC_SHUTDOWN of Linux with FS_SHUTDOWN_FLAGS_NOLOGFLUSH, which Node cannot call. */
const shutdown =
  'open(F, "<", $ARGV[0]) or die "$!"; my $how = pack("L", 2); ioctl(F, 0x8004587d, $how) or die "$!";';

function run(command: string, ...args: string[]): { problem?: string; output: string } {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return { output: stdout.trim() };
  return { problem: `${command}: ${error?.message ?? stderr.trim()}`, output: '' };
}

function must(result: { problem?: string; output: string }): string {
  if (result.problem !== undefined) throw new Error(result.problem);
  return result.output;
}

/** ext4 on a loop device, in a folder that goes with the test. Skips the test where that cannot be had. */
export function disk(t: TestContext, megabytes: number): Disk | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'disk-'));
  const image = join(folder, 'image');
  const mountPoint = join(folder, 'disk');
  writeFileSync(image, '');
  truncateSync(image, megabytes * 2 ** 20);
  mkdirSync(mountPoint);
  const loop = run('losetup', '-f', '--show', image);
  const made = loop.problem === undefined ? run('mkfs.ext4', '-q', loop.output) : loop;
  const mounted = made.problem === undefined ? run('mount', loop.output, mountPoint) : made;
  atEnd(t, () => {
    // Lazily: what the test started may end after this.
    run('umount', '--lazy', mountPoint);
    if (loop.output !== '') run('losetup', '-d', loop.output);
    rmSync(folder, { recursive: true, force: true });
  });
  if (mounted.problem !== undefined) {
    t.skip(`no file system can be made here: ${mounted.problem}`);
    return undefined;
  }
  return {
    folder: mountPoint,
    cutPower: () => void must(run('perl', '-e', shutdown, mountPoint)),
    restart() {
      must(run('umount', mountPoint));
      must(run('mount', loop.output, mountPoint));
    },
  };
}
