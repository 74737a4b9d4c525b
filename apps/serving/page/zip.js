/** Files in one ZIP, as they are (PKWARE, "APPNOTE", 4.3): PNG files are compressed already. */

import { crc32 } from "./crc32.js";

const [LOCAL, CENTRAL, END] = [0x04034b50, 0x02014b50, 0x06054b50];
const VERSION = 20; // 2.0
const DAY = (1 << 5) | 1; // the first of January 1980: the same walk gives the same file

/**
 * @param {[string, Uint8Array][]} files - names in ASCII, and what is in them; 2 GB in all.
 * @returns {Blob}
 */
export function joinZip(files) {
  const [parts, entries] = [[], []];
  let offset = 0;
  for (const [name, data] of files) {
    const bytes = new TextEncoder().encode(name);
    const about = [0, 0, 0, DAY, crc32(data), data.length, data.length, bytes.length, 0];
    const local = numbers("WHHHHHWWWHH", [LOCAL, VERSION, ...about]);
    entries.push(numbers("WHHHHHHWWWHHHHHWW", [CENTRAL, VERSION, VERSION, ...about, 0, 0, 0, 0, offset]));
    entries.push(bytes);
    parts.push(local, bytes, data);
    offset += local.length + bytes.length + data.length;
  }
  const size = entries.reduce((sum, { length }) => sum + length, 0);
  const end = [END, 0, 0, files.length, files.length, size, offset, 0];
  return new Blob([...parts, ...entries, numbers("WHHHHWWH", end)], { type: "application/zip" });
}

/** Numbers of 2 (H) and 4 (W) bytes, the lowest byte first. */
function numbers(kinds, values) {
  const sizes = [...kinds].map((kind) => (kind === "W" ? 4 : 2));
  const view = new DataView(new ArrayBuffer(sizes.reduce((a, b) => a + b)));
  let at = 0;
  sizes.forEach((size, index) => {
    if (size === 4) view.setUint32(at, values[index], true);
    else view.setUint16(at, values[index], true);
    at += size;
  });
  return new Uint8Array(view.buffer);
}
