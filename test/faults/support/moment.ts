/** The elements of a derived object that hold the moment of its source's receipt: all else depends on the source alone. */
const moments = [
  Buffer.from([0x08, 0x00, 0x12, 0x00, 0x44, 0x41]), // Instance Creation Date
  Buffer.from([0x08, 0x00, 0x13, 0x00, 0x54, 0x4d]), // Instance Creation Time
  Buffer.from([0x08, 0x00, 0x23, 0x00, 0x44, 0x41]), // Content Date
  Buffer.from([0x08, 0x00, 0x33, 0x00, 0x54, 0x4d]), // Content Time
  Buffer.from([0x18, 0x00, 0x02, 0xa0, 0x44, 0x54]), // Contribution DateTime
];

/** The data set (explicit VR little endian) with the moment's values blanked, their lengths kept. */
export function withoutMoment(dataSet: Buffer): Buffer {
  const copy = Buffer.from(dataSet);
  for (const header of moments) {
    const at = copy.indexOf(header);
    if (at < 0) throw new Error(`no element ${header.toString('hex')}: has the derived object changed?`);
    copy.fill(0x30, at + 8, at + 8 + copy.readUInt16LE(at + 6));
  }
  return copy;
}
