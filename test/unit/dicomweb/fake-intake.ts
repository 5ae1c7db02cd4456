import { createHash } from 'node:crypto';
import type { FileIntake, StoreSource } from '../../../src/dicomweb/index.js';
import { declaredInstance } from '../../../src/dicomweb/meta-header.js';

/** Writes one explicit little endian element with a short length. */
function element(group: number, number: number, vr: string, value: string): Buffer {
  const padded = value.length % 2 === 0 ? value : `${value}${vr === 'UI' ? '\0' : ' '}`;
  const head = Buffer.alloc(8);
  head.writeUInt16LE(group, 0);
  head.writeUInt16LE(number, 2);
  head.write(vr, 4, 'latin1');
  head.writeUInt16LE(padded.length, 6);
  return Buffer.concat([head, Buffer.from(padded, 'latin1')]);
}

export const MR_IMAGE_STORAGE = '1.2.840.10008.5.1.4.1.1.4';

/** A small part 10 file; its content starts behind the meta header. */
export function part10(sop: string, content: Buffer | string = 'content'): Buffer {
  const meta = Buffer.concat([
    element(2, 2, 'UI', MR_IMAGE_STORAGE),
    element(2, 3, 'UI', sop),
    element(2, 0x10, 'UI', '1.2.840.10008.1.2.1'),
  ]);
  return Buffer.concat([
    Buffer.alloc(128),
    Buffer.from('DICM'),
    Buffer.from([2, 0, 0, 0, 0x55, 0x4c, 4, 0]),
    Buffer.from(Uint32Array.of(meta.length).buffer),
    meta,
    Buffer.from(content),
  ]);
}

export class FakeIntakeError extends Error {
  constructor(
    readonly code: string,
    readonly httpFailureReason: number,
  ) {
    super(`refused: ${code}`);
  }
}

/** Keeps whole files in memory by SOP Instance UID; study "1.2", series "1.2.3". */
export function createFakeIntake(
  fail: (sop: string, written: number) => Error | undefined = () => undefined,
) {
  const stored = new Map<string, Buffer>();
  const began: { source: StoreSource; study?: string; association?: string }[] = [];
  let aborted = 0;
  let open = 0;
  const intake: FileIntake = {
    beginFile(about) {
      began.push(about);
      open += 1;
      const chunks: Buffer[] = [];
      let over = false;
      const end = () => {
        if (over) throw new Error('an incoming instance ended twice');
        over = true;
        open -= 1;
      };
      return {
        async write(chunk) {
          if (over) throw new Error('written after its end');
          chunks.push(Buffer.from(chunk));
          await new Promise((resolve) => setImmediate(resolve));
        },
        async commit() {
          end();
          const file = Buffer.concat(chunks);
          const declared = declaredInstance(file);
          if (!declared) throw new FakeIntakeError('not-dicom', 0xc000);
          const sop = declared.sopInstanceUid;
          const error = fail(sop, file.length);
          if (error) throw error;
          if (about.study !== undefined && about.study !== '1.2')
            throw new FakeIntakeError('mismatch', 0xa900);
          const outcome = stored.has(sop) ? 'duplicate' : 'stored';
          stored.set(sop, file);
          return {
            outcome,
            instance: { study: '1.2', series: '1.2.3', sop, sopClass: declared.sopClassUid },
          };
        },
        async abort() {
          end();
          aborted += 1;
        },
      };
    },
  };
  return {
    intake,
    stored,
    began,
    aborted: () => aborted,
    open: () => open,
    digest: (sop: string) => createHash('sha256').update(stored.get(sop)!).digest('hex'),
  };
}
