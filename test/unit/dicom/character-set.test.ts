import assert from 'node:assert/strict';
import { test } from 'node:test';
import { appendAscii, decodeText } from '../../../src/dicom/character-set.js';
import { itemsOf, parseDataSet, string, strings } from '../../../src/dicom/index.js';
import { encodeDataSet, explicitLE, type Item } from './encode.js';

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replace(/\s/g, ''), 'hex');
}

// PS3.5 annexes H, I, J and K, and PS3.3 C.12.1.1.2.
const examples: [name: string, terms: string[], hex: string, text: string][] = [
  ['Latin-1', ['ISO_IR 100'], '4275635e4ae972f46d65', 'Buc^Jérôme'],
  ['Latin-2', ['ISO_IR 101'], '57b3b1', 'Włą'],
  ['Cyrillic', ['ISO_IR 144'], 'bbeedace', 'ЛюкЮ'],
  ['Greek', ['ISO_IR 126'], 'c4e9efed', 'Διον'],
  ['Arabic', ['ISO_IR 127'], 'e2c8c7', 'قبا'],
  ['Hebrew', ['ISO_IR 138'], 'f9f8e5ef', 'שרון'],
  ['Thai', ['ISO_IR 166'], 'cac1', 'สม'],
  ['UTF-8', ['ISO_IR 192'], '57616e67c3a9e78e8b', 'Wangé王'],
  ['GB18030', ['GB18030'], '57cdf55ed0a1b6ab', 'W王^小东'],
  ['Japanese H.3.2, katakana first', ['ISO 2022 IR 13', 'ISO 2022 IR 87'], 'd4cfc0de5ec0dbb3', 'ﾔﾏﾀﾞ^ﾀﾛｳ'],
  [
    'Korean I.2',
    ['', 'ISO 2022 IR 149'],
    '486f6e675e47696c646f6e673d1b242943fbf35e1b242943d1ced4d73d1b242943c8ab5e1b242943b1e6b5bf',
    'Hong^Gildong=洪^吉洞=홍^길동',
  ],
  ['Chinese K', ['', 'ISO 2022 IR 58'], '1b242941d5c55e1b242941d0a1b6ab', '张^小东'],
];

for (const [name, terms, hex, expected] of examples) {
  test(`decodes ${name}`, () => {
    assert.equal(decodeText(bytes(hex), terms), expected);
  });
}

test('decodes the kanji of H.3.1, whose second bytes include delimiters of ASCII', () => {
  const yamada = '1b24423b3345441b2842';
  assert.equal(decodeText(bytes(yamada), ['', 'ISO 2022 IR 87']), '山田');
  // 0x5C as the second byte of a pair is no value delimiter.
  const item: Item = [
    [0x00080005, 'CS', '\\ISO 2022 IR 87'],
    [0x00081030, 'LO', bytes('1b2442305c1b28425c41')],
  ];
  assert.equal(strings(parseDataSet(encodeDataSet(explicitLE, item), explicitLE.uid), 0x00081030).length, 2);
});

test('wrong, unknown and misspelt sets decode to something and never throw', () => {
  const utf8 = Buffer.from('Jérôme');
  assert.equal(decodeText(utf8, []), 'Jérôme');
  assert.equal(decodeText(utf8, ['NOT A SET']), 'Jérôme');
  assert.equal(decodeText(bytes('4ae9'), ['ISO_IR 192']), 'Jé');
  assert.equal(decodeText(bytes('4ae9'), ['ISO IR 100']), 'Jé');
  assert.equal(decodeText(bytes('4ae9'), ['ISO-IR_100 ']), 'Jé');
  assert.equal(decodeText(bytes('1b'), ['', 'ISO 2022 IR 87']), '');
  assert.equal(typeof decodeText(bytes('1b2442'), ['ISO 2022 IR 6', 'ISO 2022 IR 87']), 'string');
  assert.equal(typeof decodeText(bytes('1b24424141ff41'), ['\\\\', 'ISO 2022 IR 87', 'X']), 'string');
});

test('items inherit the character set, and their own does not leak', () => {
  const item: Item = [
    [0x00080005, 'CS', 'ISO_IR 192'],
    [
      0x00081140,
      'SQ',
      [
        [
          [0x00080005, 'CS', 'ISO_IR 100'],
          [0x00081030, 'LO', bytes('4ae9')],
        ],
        [[0x00081030, 'LO', Buffer.from('王')]],
      ],
    ],
  ];
  const ds = parseDataSet(encodeDataSet(explicitLE, item), explicitLE.uid);
  assert.deepEqual(
    itemsOf(ds, 0x00081140).map((i) => string(i, 0x00081030)),
    ['Jé', '王'],
  );
});

test('a backslash splits values, but not in text', () => {
  const item: Item = [
    [0x00080008, 'CS', 'ORIGINAL\\PRIMARY\\\\M '],
    [0x00081030, 'LO', '   '],
    [0x00204000, 'LT', ' a\\b '],
  ];
  const ds = parseDataSet(encodeDataSet(explicitLE, item), explicitLE.uid);
  assert.deepEqual(strings(ds, 'ImageType'), ['ORIGINAL', 'PRIMARY', '', 'M']);
  assert.deepEqual(strings(ds, 'StudyDescription'), []);
  assert.equal(string(ds, 'ImageComments'), ' a\\b');
});

test('appendAscii cuts between characters and ends in ASCII', () => {
  const limit = 64;
  const cases: [Buffer, string[]][] = [
    [Buffer.from('ä'.repeat(100)), ['ISO_IR 192']],
    [Buffer.from('e4'.repeat(100), 'hex'), ['ISO_IR 100']],
    [Buffer.from('cdf5'.repeat(100), 'hex'), ['GB18030']],
    [Buffer.from(`1b2442${'3b33'.repeat(90)}1b2842`, 'hex'), ['', 'ISO 2022 IR 87']],
  ];
  for (const [text, terms] of cases) {
    const out = decodeText(appendAscii(text, terms, ' MC-Net', limit), terms);
    assert.equal([...out].length, limit, terms.join());
    assert.ok(out.endsWith(' MC-Net'));
    assert.ok(decodeText(text, terms).startsWith(out.slice(0, -7)));
  }
  assert.equal(decodeText(appendAscii(Buffer.from('T1'), [], ' MC-Net', limit), []), 'T1 MC-Net');
});
