import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

export interface AuditFile {
  /** Takes one line; it is on disk soon, or `onProblem` hears why not and it is tried again. */
  append(line: string): void;
  /** Resolves when everything appended so far is on disk. @throws Error when it cannot be written */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface AuditFileOptions {
  path: string;
  /** A file that has become so large is put aside, under its name and the time. */
  rotateBytes: number;
  /** Files put aside that are kept. */
  keep: number;
  /** The trail cannot be written; undefined: it can again. */
  onProblem(problem: string | undefined): void;
}

/** Lines that wait while the disk refuses them; more are lost, and said to be. */
const WAITING = 100_000;
const RETRY_MS = 1000;

/** The audit trail as a file to which lines are appended, each synced to the disk, with no more than one write at a time. */
export async function openAuditFile(options: AuditFileOptions): Promise<AuditFile> {
  const { path, rotateBytes, keep, onProblem } = options;
  const folder = dirname(path);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  let file: FileHandle = await open(path, 'a', 0o600);
  let { size } = await file.stat();
  let waiting: string[] = [];
  let lost = 0;
  let putAside = 0;
  let problem = false;
  let writing: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;

  async function rotate(): Promise<void> {
    await file.close();
    // Numbered besides: two may be put aside in one millisecond.
    putAside += 1;
    const time = new Date().toISOString().replaceAll(':', '');
    await rename(path, `${path}.${time}-${String(putAside).padStart(6, '0')}`);
    file = await open(path, 'a', 0o600);
    size = 0;
    const put = (await readdir(folder)).filter((name) => name.startsWith(`${basename(path)}.`)).sort();
    for (const name of put.slice(0, Math.max(0, put.length - keep))) await unlink(join(folder, name));
    const handle = await open(folder, 'r');
    await handle.sync().finally(() => handle.close());
  }

  async function write(): Promise<void> {
    while (waiting.length > 0) {
      // More may come while these are written.
      const lines = [...waiting];
      const text = Buffer.from(lines.map((line) => `${line}\n`).join(''));
      const before = size;
      try {
        await file.appendFile(text);
        await file.datasync();
      } catch (error) {
        // What was written of it would stand there twice, or be half a line.
        await file.truncate(before).catch(() => undefined);
        throw error;
      }
      size += text.length;
      waiting = waiting.slice(lines.length);
      if (size >= rotateBytes) await rotate();
    }
  }

  function begin(): Promise<void> {
    writing ??= write()
      .then(
        () => {
          if (problem) onProblem(undefined);
          problem = false;
          lost = 0;
        },
        (error: unknown) => {
          problem = true;
          const code = (error as NodeJS.ErrnoException).code ?? String(error);
          const losses = lost > 0 ? `, ${lost} messages are lost` : '';
          onProblem(`${path} cannot be written (${code})${losses}`);
          timer ??= setTimeout(() => {
            timer = undefined;
            void begin().catch(() => undefined);
          }, RETRY_MS).unref();
          throw error;
        },
      )
      .finally(() => {
        writing = undefined;
      });
    return writing;
  }

  async function flush(): Promise<void> {
    while (waiting.length > 0 || writing) await begin();
  }

  return {
    append(line) {
      if (waiting.length >= WAITING) {
        lost += 1;
        return;
      }
      waiting.push(line);
      if (!problem) setImmediate(() => void begin().catch(() => undefined));
    },
    flush,
    async close() {
      clearTimeout(timer);
      await flush().finally(() => file.close());
    },
  };
}
