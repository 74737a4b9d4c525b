/**
 * Pictures in the colours of video: one plane of luma, two of chroma with half its rows and columns.
 *
 * Browsers turn RGB into these by themselves, but do not agree on the range, and a player that takes
 * the other one shows other colours. So this is the one that players expect of VP8: BT.601, luma from
 * 16 to 235 (ITU-R BT.601-7, section 2.5).
 */

export const COLOURS = {
  primaries: "bt709", // those of sRGB, as its curve is
  transfer: "iec61966-2-1",
  matrix: "smpte170m",
  fullRange: false,
};

const LUMA = [65.481, 128.553, 24.966].map((part) => part / 255);
const BLUE = [-37.797, -74.203, 112].map((part) => part / 255);
const RED = [112, -93.786, -18.214].map((part) => part / 255);

/**
 * @param {Uint8Array} pixels - [height, width, 3] RGB.
 * @param {{width: number, height: number}} size
 * @returns {Uint8Array} the planes Y, U and V, one after the other.
 */
export function toI420(pixels, { width, height }) {
  const [columns, rows] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const planes = new Uint8Array(width * height + 2 * columns * rows);
  for (let from = 0, to = 0; from < pixels.length; from += 3, to++) {
    planes[to] = 16.5 + weigh(LUMA, pixels[from], pixels[from + 1], pixels[from + 2]);
  }
  const [u, v] = [width * height, width * height + columns * rows];
  for (let row = 0, to = 0; row < rows; row++) {
    const below = 2 * row + 1 < height ? 3 * width : 0; // a last row by itself counts twice
    for (let column = 0; column < columns; column++, to++) {
      const at = 3 * (2 * row * width + 2 * column);
      const right = 2 * column + 1 < width ? 3 : 0;
      const mean = [0, 1, 2].map((c) => meanOf(pixels, at + c, right, below));
      planes[u + to] = 128.5 + weigh(BLUE, ...mean);
      planes[v + to] = 128.5 + weigh(RED, ...mean);
    }
  }
  return planes;
}

/** The mean of a value and those right of it, below it, and both. */
function meanOf(pixels, at, right, below) {
  return (pixels[at] + pixels[at + right] + pixels[at + below] + pixels[at + right + below]) / 4;
}

function weigh([first, second, third], red, green, blue) {
  return first * red + second * green + third * blue;
}
