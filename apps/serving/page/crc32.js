/** The checksum of PNG and ZIP (ISO 3309). */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  return rest;
});

/** @param {...Uint8Array} parts - of what it is of, in their order. */
export function crc32(...parts) {
  let rest = 0xffffffff;
  for (const part of parts) {
    for (const byte of part) rest = TABLE[(rest ^ byte) & 0xff] ^ (rest >>> 8);
  }
  return (rest ^ 0xffffffff) >>> 0;
}
