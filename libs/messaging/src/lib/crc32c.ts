/** CRC-32C (Castagnoli), eight bytes a step: Kafka's checksum of a record batch. `node:zlib` only has CRC-32. */
const TABLES = tables();

function tables(): readonly Int32Array[] {
  const first = new Int32Array(256);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? 0x82f63b78 ^ (crc >>> 1) : crc >>> 1;
    first[byte] = crc;
  }
  const all = [first];
  for (let n = 1; n < 8; n += 1) {
    const before = all[n - 1] ?? first;
    all.push(before.map((crc) => (first[crc & 0xff] ?? 0) ^ (crc >>> 8)));
  }
  return all;
}

const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
];

/* eslint-disable @typescript-eslint/no-non-null-assertion -- every index is masked to a byte or below the length */
export function crc32c(data: Buffer): number {
  let crc = -1;
  let at = 0;
  for (; at + 8 <= data.length; at += 8) {
    const low = crc ^ data.readInt32LE(at);
    crc =
      T7[low & 0xff]! ^
      T6[(low >>> 8) & 0xff]! ^
      T5[(low >>> 16) & 0xff]! ^
      T4[low >>> 24]! ^
      T3[data[at + 4]!]! ^
      T2[data[at + 5]!]! ^
      T1[data[at + 6]!]! ^
      T0[data[at + 7]!]!;
  }
  for (; at < data.length; at += 1) crc = T0[(crc ^ data[at]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
/* eslint-enable @typescript-eslint/no-non-null-assertion */
