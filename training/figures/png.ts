import { crc32, deflateSync } from 'node:zlib';

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

function chunk(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(body.length, 0);
  head.write(type, 4, 'latin1');
  const tail = Buffer.alloc(4);
  tail.writeUInt32BE(crc32(Buffer.concat([head.subarray(4), body])), 0);
  return Buffer.concat([head, body, tail]);
}

/**
 * An 8-bit PNG (ISO/IEC 15948) of `pixels`, row by row from the top.
 * @param pixels rows × columns × channels values of 0 to 255
 * @param channels 1 for grey, 3 for RGB
 */
export function encodePng(pixels: Uint8Array, rows: number, columns: number, channels: 1 | 3 = 1): Buffer {
  const stride = columns * channels;
  if (pixels.length !== rows * stride) {
    throw new RangeError(
      `a ${rows}×${columns}×${channels} picture needs ${rows * stride} bytes, not ${pixels.length}`,
    );
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(columns, 0);
  header.writeUInt32BE(rows, 4);
  header[8] = 8;
  header[9] = channels === 1 ? 0 : 2;
  const scanlines = Buffer.alloc(rows * (stride + 1));
  for (let row = 0; row < rows; row += 1) {
    scanlines.set(pixels.subarray(row * stride, (row + 1) * stride), row * (stride + 1) + 1);
  }
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(scanlines)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}
