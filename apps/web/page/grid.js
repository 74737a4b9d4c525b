/** Pictures side by side, as square as it gets (runtime/images.py). */

/** @returns one picture of several of one size, with black where none is left. */
export function joinGrid(pictures) {
  const [{ height, width, channels }] = pictures;
  const columns = Math.ceil(Math.sqrt(pictures.length));
  const rows = Math.ceil(pictures.length / columns);
  const length = width * channels; // of a row of one picture
  const pixels = new Uint8Array(rows * height * columns * length);
  pictures.forEach((picture, index) => {
    const [row, column] = [Math.floor(index / columns), index % columns];
    for (let y = 0; y < height; y++) {
      const line = picture.pixels.subarray(y * length, (y + 1) * length);
      pixels.set(line, ((row * height + y) * columns + column) * length);
    }
  });
  return { pixels, height: rows * height, width: columns * width, channels };
}
