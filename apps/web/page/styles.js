/**
 * Arithmetic on styles, as the runtime does it (runtime/control/styles.py and truncation.py).
 *
 * Styles are Float32Array [num_ws * w_dim]: a w for each layer. All functions give new arrays.
 */

/** Styles with some layers from other ones (StyleGAN, section 3.1). */
export function mixStyles(ws, other, layers, w_dim) {
  const mixed = ws.slice();
  for (const layer of layers) {
    const start = layer * w_dim;
    mixed.set(other.subarray(start, start + w_dim), start);
  }
  return mixed;
}

/**
 * Styles that are moved along a direction: w + strength * direction, in some layers.
 *
 * @param {{vector: Float32Array, layers: number[]}} direction - [w_dim], for these layers.
 */
export function moveStyles(ws, { vector, layers }, strength) {
  const moved = ws.slice();
  const step = vector.map((number) => strength * number);
  for (const layer of layers) {
    const start = layer * vector.length;
    for (let i = 0; i < vector.length; i++) moved[start + i] += step[i];
  }
  return moved;
}

/**
 * Styles that are pulled to the mean: w_avg + psi (w - w_avg).
 *
 * @param {Float32Array} mean - [w_dim], or one for each layer [num_ws * w_dim].
 * @param {Float32Array} psi - [num_ws].
 */
export function truncateStyles(ws, mean, psi) {
  const w_dim = ws.length / psi.length;
  return ws.map((w, i) => {
    const m = mean[i % mean.length];
    return m + psi[Math.floor(i / w_dim)] * (w - m);
  });
}

/** The psi of each layer: that of the truncation, and 1 from the cutoff on. */
export function psiOfLayers(psi, cutoff, num_ws) {
  return Float32Array.from({ length: num_ws }, (_, layer) => (layer < cutoff ? psi : 1));
}
