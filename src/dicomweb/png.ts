import { promisify } from 'node:util';
import { crc32, deflate } from 'node:zlib';

/** Eight bits a sample, rows from top to bottom; one channel is grey, three are red, green, blue. */
export interface Picture {
  rows: number;
  columns: number;
  channels: 1 | 3;
  samples: Uint8Array;
}

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const compress = promisify(deflate);

function chunk(type: string, data: Uint8Array): Buffer {
  const typed = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const check = Buffer.alloc(4);
  check.writeUInt32BE(crc32(typed));
  return Buffer.concat([length, typed, check]);
}

/** Encodes a picture as PNG (ISO/IEC 15948); compression runs off the event loop. */
export async function encodePng({ rows, columns, channels, samples }: Picture): Promise<Buffer> {
  const stride = columns * channels;
  if (samples.length !== rows * stride) {
    throw new Error(`a picture of ${rows} x ${columns} x ${channels} has ${samples.length} samples`);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(columns, 0);
  header.writeUInt32BE(rows, 4);
  header.set([8, channels === 1 ? 0 : 2, 0, 0, 0], 8);
  const filtered = Buffer.alloc(rows * (stride + 1));
  for (let row = 0; row < rows; row++) {
    const at = row * (stride + 1);
    filtered[at] = 1; // filter type Sub: each sample minus its left neighbour
    for (let i = 0; i < stride; i++) {
      const left = i < channels ? 0 : samples[row * stride + i - channels]!;
      filtered[at + 1 + i] = samples[row * stride + i]! - left;
    }
  }
  const data = await compress(filtered, { level: 3 });
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('IDAT', data),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}
