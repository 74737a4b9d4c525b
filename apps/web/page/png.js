/** Pictures as PNG files (W3C, "Portable Network Graphics", third edition): the pixels as they are. */

import { crc32 } from "./crc32.js";

const SIGNATURE = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const COLOUR_TYPES = { 1: 0, 3: 2, 4: 6 }; // by channels: grey, RGB, RGB with alpha

/**
 * @param {{pixels: Uint8Array, height: number, width: number, channels: number}} picture - [H, W, C]
 *   with 1, 3 or 4 channels.
 * @returns {Promise<Blob>}
 */
export async function encodePng({ pixels, height, width, channels }) {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, COLOUR_TYPES[channels]], 8); // bits, and the colour type
  const parts = [chunk("IHDR", header), chunk("IDAT", await deflate(rowsOf(pixels, height)))];
  return new Blob([SIGNATURE, ...parts.flat(), ...chunk("IEND", new Uint8Array())], {
    type: "image/png",
  });
}

/** The rows with a byte before each, which names its filter: 0, as they are. */
function rowsOf(pixels, height) {
  const length = pixels.length / height;
  const rows = new Uint8Array(height * (length + 1));
  for (let y = 0; y < height; y++) {
    rows.set(pixels.subarray(y * length, (y + 1) * length), y * (length + 1) + 1);
  }
  return rows;
}

async function deflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function chunk(name, data) {
  const head = new Uint8Array(8);
  new DataView(head.buffer).setUint32(0, data.length);
  head.set(new TextEncoder().encode(name), 4);
  const end = new Uint8Array(4);
  new DataView(end.buffer).setUint32(0, crc32(head.subarray(4), data));
  return [head, data, end];
}
