/** What the graphs take besides styles: latents, noise, and how the picture lies. */

import { RandomState } from "./random_state.js";

const STREAM = 1; // keeps the noise of a seed apart from the z of the same seed
const UNIFORM = "noise"; // the input whose noise is uniform in [0, 1); that of all others is normal

/** The latent of a seed, [z_dim]: RandomState(seed).randn(z_dim), as the original tools. */
export function makeZ(seed, z_dim) {
  return new RandomState(seed).normals(z_dim);
}

/** @returns {Float32Array} 1 for the class, and 0 for all others. */
export function oneHot(class_idx, c_dim) {
  const label = new Float32Array(c_dim);
  label[class_idx] = 1;
  return label;
}

/**
 * The noise of a picture, by input: the checkpoint's own, none, or that of a seed.
 *
 * @param {Object<string, [number, number]>} sizes - height and width by input, in their order.
 * @param {function(string): ?Float32Array} constOf - the checkpoint's own of an input.
 */
export function makeNoise(sizes, { noise_mode, noise_seed }, constOf) {
  const random = noise_mode === "seeded" ? new RandomState([noise_seed, STREAM]) : null;
  const fields = Object.entries(sizes).map(([name, [height, width]]) => {
    const count = height * width;
    if (random) return [name, name === UNIFORM ? random.uniforms(count) : random.normals(count)];
    return [name, (noise_mode === "const" && constOf(name)) || new Float32Array(count)];
  });
  return Object.fromEntries(fields);
}

/**
 * The inverse of a turn about the centre and a shift, [3 * 3] (runtime/transforms.py).
 *
 * @param {{x: number, y: number, rotate: number}} motion - right and down in sides of the picture,
 *   and degrees, counter-clockwise.
 */
export function makeTransform({ x, y, rotate }) {
  const angle = (rotate * Math.PI) / 180;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return new Float32Array([cos, -sin, y * sin - x * cos, sin, cos, -x * sin - y * cos, 0, 0, 1]);
}
