/** Encoded frames as a WebM file (RFC 8794, EBML; RFC 9559, Matroska): one track of VP8, in the colours of `i420`. */

const CLUSTER_MS = 5000; // a block's time counts from its cluster, in 16 bits

/**
 * @param {{data: Uint8Array, ms: number, key: boolean}[]} blocks - the frames, in their order.
 * @param {{width: number, height: number}} size
 * @param {number} duration - in milliseconds.
 * @returns {Blob}
 */
export function joinWebm(blocks, { width, height }, duration) {
  const header = element(0x1a45dfa3, [
    element(0x4286, whole(1)), // EBMLVersion
    element(0x42f7, whole(1)), // EBMLReadVersion
    element(0x42f2, whole(4)), // EBMLMaxIDLength
    element(0x42f3, whole(8)), // EBMLMaxSizeLength
    element(0x4282, text("webm")), // DocType
    element(0x4287, whole(2)), // DocTypeVersion
    element(0x4285, whole(2)), // DocTypeReadVersion
  ]);
  const info = element(0x1549a966, [
    element(0x2ad7b1, whole(1_000_000)), // TimestampScale: milliseconds
    element(0x4489, double(duration)), // Duration
    element(0x4d80, text("StyleRT")), // MuxingApp
    element(0x5741, text("StyleRT")), // WritingApp
  ]);
  const colour = element(0x55b0, [
    element(0x55b1, whole(6)), // MatrixCoefficients: BT.601
    element(0x55b9, whole(1)), // Range: of broadcasts, 16 to 235
    element(0x55ba, whole(13)), // TransferCharacteristics: sRGB
    element(0x55bb, whole(1)), // Primaries: those of BT.709 and sRGB
  ]);
  const sides = [element(0xb0, whole(width)), element(0xba, whole(height))];
  const video = element(0xe0, [...sides, colour]);
  const track = element(0xae, [
    element(0xd7, whole(1)), // TrackNumber
    element(0x73c5, whole(1)), // TrackUID
    element(0x83, whole(1)), // TrackType: video
    element(0x86, text("V_VP8")), // CodecID
    video,
  ]);
  const segment = element(0x18538067, [info, element(0x1654ae6b, [track]), ...clusters(blocks)]);
  return new Blob(flat([header, segment]), { type: "video/webm" });
}

/** The frames in groups, each of which begins with one that needs no other. */
function clusters(blocks) {
  const groups = [];
  for (const block of blocks) {
    const start = groups.at(-1)?.[0].ms ?? -Infinity;
    if (block.key || block.ms - start > CLUSTER_MS) groups.push([]);
    groups.at(-1).push(block);
  }
  return groups.map((group) => {
    const start = group[0].ms;
    const inside = group.map(({ data, ms, key }) => {
      const head = new Uint8Array([0x81, (ms - start) >> 8, ms - start, key ? 0x80 : 0]);
      return element(0xa3, [head, data]); // SimpleBlock
    });
    return element(0x1f43b675, [element(0xe7, whole(start)), ...inside]);
  });
}

/** An element: its id, the length of what is in it, and that, as nested arrays of bytes. */
function element(id, inside) {
  const parts = flat([inside]);
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return [bytesOf(id), lengthBytes(length), ...parts];
}

function flat(parts) {
  return parts.flatMap((part) => (Array.isArray(part) ? flat(part) : [part]));
}

/** A length in eight bytes, of which the first bit says so. */
function lengthBytes(length) {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(length) | (1n << 56n));
  return new Uint8Array(view.buffer);
}

function bytesOf(number) {
  const bytes = [];
  for (let rest = number; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return new Uint8Array(bytes);
}

function whole(number) {
  return number ? bytesOf(number) : new Uint8Array(1);
}

function double(number) {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, number);
  return new Uint8Array(view.buffer);
}

function text(words) {
  return new TextEncoder().encode(words);
}
