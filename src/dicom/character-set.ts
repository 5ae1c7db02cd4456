/**
 * Text of Specific Character Set (0008,0005): PS3.3 C.12.1.1.2, PS3.5 6.1. Decoding never throws: an unknown or wrong
 * set falls back to UTF-8 where the bytes are UTF-8, and to Latin-1 where they are not.
 */

/** Encoding Standard label of each defined term without its prefix. */
const encodings: Record<string, string> = {
  'IR 6': 'latin1',
  'IR 13': 'shift_jis',
  'IR 100': 'latin1',
  'IR 101': 'iso-8859-2',
  'IR 109': 'iso-8859-3',
  'IR 110': 'iso-8859-4',
  'IR 126': 'iso-8859-7',
  'IR 127': 'iso-8859-6',
  'IR 138': 'iso-8859-8',
  'IR 144': 'iso-8859-5',
  'IR 148': 'windows-1254',
  'IR 166': 'windows-874',
  'IR 203': 'iso-8859-15',
  'IR 192': 'utf-8',
  GB18030: 'gb18030',
  GBK: 'gbk',
  'IR 87': 'latin1',
  'IR 159': 'latin1',
  'IR 149': 'euc-kr',
  'IR 58': 'gbk',
};

/** G0 sets with two bytes a character: the byte that puts the pair into EUC-JP. */
type G0 = 'ascii' | 'jis-x-0208' | 'jis-x-0212';

/** Escape sequences of PS3.3 tables C.12-3 and C.12-4, without the escape character itself. */
const g0Escapes: Record<string, G0> = {
  '(B': 'ascii',
  '(J': 'ascii',
  $B: 'jis-x-0208',
  '$@': 'jis-x-0208',
  '$(D': 'jis-x-0212',
};
const g1Escapes: Record<string, string> = {
  '-A': 'latin1',
  '-B': 'iso-8859-2',
  '-C': 'iso-8859-3',
  '-D': 'iso-8859-4',
  '-L': 'iso-8859-5',
  '-G': 'iso-8859-6',
  '-F': 'iso-8859-7',
  '-H': 'iso-8859-8',
  '-M': 'windows-1254',
  '-b': 'iso-8859-15',
  '-T': 'windows-874',
  ')I': 'shift_jis',
  '$)C': 'euc-kr',
  '$)A': 'gbk',
};

const ESCAPE = 0x1b;
const decoders = new Map<string, InstanceType<typeof TextDecoder>>();

function decodeWith(encoding: string, bytes: Buffer): string {
  if (encoding === 'latin1') return bytes.toString('latin1');
  let decoder = decoders.get(encoding);
  if (decoder === undefined) {
    decoder = new TextDecoder(encoding);
    decoders.set(encoding, decoder);
  }
  return decoder.decode(bytes);
}

/** "ISO_IR 100", "ISO 2022 IR 100", "ISO-IR 100", "ISO_2022_IR_100" → "IR 100" */
function normalise(term: string): string {
  const plain = term
    .replace(/\0/g, '')
    .trim()
    .toUpperCase()
    .replace(/[_\-\s]+/g, ' ');
  return plain.replace(/^ISO (?:2022 )?IR ?/, 'IR ').replace(/^IR +/, 'IR ');
}

function decodeUnknown(bytes: Buffer): string {
  const text = decodeWith('utf-8', bytes);
  return text.includes('\ufffd') ? bytes.toString('latin1') : text;
}

function isAscii(bytes: Buffer): boolean {
  for (let i = 0; i < bytes.length; i += 1) if (bytes[i]! >= 0x80 || bytes[i] === ESCAPE) return false;
  return true;
}

/**
 * Decodes one value field, delimiters included.
 * @param terms the values of Specific Character Set in force; empty means the default repertoire
 */
export function decodeText(bytes: Buffer, terms: readonly string[]): string {
  if (isAscii(bytes)) return bytes.toString('latin1');
  const first = normalise(terms[0] ?? '');
  const extended = terms.length > 1 || bytes.includes(ESCAPE);
  if (extended && first !== 'IR 192' && first !== 'GB18030' && first !== 'GBK') {
    return decodeExtended(bytes, encodings[first === '' ? 'IR 6' : first] ?? 'latin1');
  }
  if (first === '' || first === 'IR 6') return decodeUnknown(bytes);
  const encoding = encodings[first];
  if (encoding === undefined) return decodeUnknown(bytes);
  const text = decodeWith(encoding, bytes);
  return encoding === 'utf-8' && text.includes('\ufffd') ? bytes.toString('latin1') : text;
}

/** Code extension by ISO/IEC 2022: PS3.5 6.1.2.5. `initial` is the encoding of the first value of (0008,0005). */
function decodeExtended(bytes: Buffer, initial: string): string {
  let g0: G0 = 'ascii';
  let g1 = initial;
  let text = '';
  let position = 0;
  while (position < bytes.length) {
    if (bytes[position] === ESCAPE) {
      const sequence = escapeAt(bytes, position + 1);
      g0 = g0Escapes[sequence] ?? g0;
      g1 = g1Escapes[sequence] ?? g1;
      position += 1 + sequence.length; // of an escape that nobody defined only the escape character goes
      continue;
    }
    const start = position;
    if (g0 !== 'ascii' && isGraphic(bytes[position]!)) {
      while (position < bytes.length && isGraphic(bytes[position]!)) position += 1;
      text += decodePairs(bytes.subarray(start, position), g0);
      continue;
    }
    let byte = bytes[position]!;
    do {
      position += byte >= 0x80 && isTwoByte(g1) ? 2 : 1;
      if (isDelimiter(byte) || position >= bytes.length) break;
      byte = bytes[position]!;
    } while (byte !== ESCAPE && (g0 === 'ascii' || !isGraphic(byte)));
    text += decodeWith(g1, bytes.subarray(start, position));
    if (isDelimiter(byte)) {
      // Every value, name component, component group and line starts in the initial state again (6.1.2.5.3).
      g0 = 'ascii';
      g1 = initial;
    }
  }
  return text;
}

function escapeAt(bytes: Buffer, at: number): string {
  for (const size of [2, 3]) {
    const sequence = bytes.toString('latin1', at, at + size);
    if (sequence.length === size && (sequence in g0Escapes || sequence in g1Escapes)) return sequence;
  }
  return '';
}

function isGraphic(byte: number): boolean {
  return byte >= 0x21 && byte < 0x7f;
}

function isTwoByte(encoding: string): boolean {
  return encoding === 'euc-kr' || encoding === 'gbk';
}

function isDelimiter(byte: number): boolean {
  return byte === 0x5c || byte === 0x5e || byte === 0x3d || (byte >= 0x09 && byte <= 0x0d && byte !== 0x0b);
}

function decodePairs(pairs: Buffer, g0: G0): string {
  const euc: number[] = [];
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    if (g0 === 'jis-x-0212') euc.push(0x8f);
    euc.push(pairs[i]! | 0x80, pairs[i + 1]! | 0x80);
  }
  return decodeWith('euc-jp', Buffer.from(euc));
}

/**
 * Appends an ASCII suffix to encoded text and keeps the whole within `limit` characters by cutting the text.
 * The result stays in the text's character set; a cut within an escape sequence's reach returns to ASCII first.
 */
export function appendAscii(bytes: Buffer, terms: readonly string[], suffix: string, limit: number): Buffer {
  const tail = Buffer.from(suffix, 'latin1');
  const whole = decodeText(bytes, terms);
  const room = limit - suffix.length;
  if ([...whole].length <= room) return Buffer.concat([bytes, tail]);
  for (let end = Math.min(bytes.length, room * 8); end > 0; end -= 1) {
    const prefix = bytes.subarray(0, end);
    const cut = prefix.includes(ESCAPE) ? Buffer.concat([prefix, Buffer.from('\x1b(B', 'latin1')]) : prefix;
    const text = decodeText(cut, terms);
    if ([...text].length <= room && whole.startsWith(text) && (text.length > 0 || end === 1)) {
      return Buffer.concat([cut, tail]);
    }
  }
  return tail;
}
