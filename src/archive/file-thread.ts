/**
 * The thread that writes the files of journalled objects, beside the journal itself: creating a file can wait for the
 * file system, and the journal's sync does not wait for that.
 */
import { type MessagePort, parentPort } from 'node:worker_threads';
import { reportedError, type ThreadReport } from './threads.js';
import { type FileOrder, type FileWritten, writeFileWhole } from './whole-file.js';

function serve(port: MessagePort): void {
  port.on('message', ({ id, order }: { id: number; order: FileOrder }) => {
    let reports: ThreadReport<FileWritten>[];
    try {
      reports = [{ id, stage: writeFileWhole(order) }, { id }];
    } catch (error) {
      reports = [{ id, error: reportedError(error) }];
    }
    port.postMessage(reports);
  });
}

serve(parentPort!);
