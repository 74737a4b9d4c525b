/** Large weights: they come as 16-bit integers with factors, and the graph takes float32. */

/**
 * @param {ArrayBuffer} bytes - of the file that has them.
 * @param {{shape: number[], integers: number, factors: number, factor_shape: number[]}[]} table - of
 *   each weight its shape, where its integers begin, and where its factors, which are broadcast.
 * @returns {Float32Array} all weights, one behind the other.
 */
export function unpackWeights(bytes, table) {
  const sizes = table.map(({ shape }) => shape.reduce((a, b) => a * b, 1));
  const unpacked = new Float32Array(sizes.reduce((a, b) => a + b, 0));
  let start = 0;
  table.forEach((entry, index) => {
    multiply(bytes, entry, unpacked.subarray(start, start + sizes[index]));
    start += sizes[index];
  });
  return unpacked;
}

/** Integers times factors, whose dimensions are those of the integers or 1. */
function multiply(bytes, { shape, integers, factors, factor_shape }, product) {
  const numbers = new Int16Array(bytes, integers, product.length);
  const scales = new Float32Array(bytes, factors);
  const steps = factor_shape.map((length, axis) =>
    length === 1 ? 0 : factor_shape.slice(axis + 1).reduce((a, b) => a * b, 1),
  );
  const row = shape.at(-1);
  const step = steps.at(-1);
  for (let start = 0; start < product.length; start += row) {
    let first = 0; // of the factors of this row
    for (let axis = shape.length - 2, rest = start / row; axis >= 0; axis--) {
      first += (rest % shape[axis]) * steps[axis];
      rest = Math.floor(rest / shape[axis]);
    }
    for (let i = 0; i < row; i++) product[start + i] = numbers[start + i] * scales[first + i * step];
  }
}
