/** A generator in the browser: settings of the page become pixels, as the service draws them. */

import { makeNoise, makeTransform, makeZ, oneHot } from "./inputs.js";
import { mixStyles, moveStyles, psiOfLayers, truncateStyles } from "./styles.js";
import { cubic, linear, slerp } from "./ways.js";

const CURVES = { cubic, linear };

export class Drawing {
  /**
   * @param {object} info - what the generator is.
   * @param {import("./arrays.js").Arrays} arrays - its numbers by name.
   * @param {{run: function(string, Object<string, [Float32Array, number[]]>, string):
   *   Promise<{data: *, dims: number[]}>}} graphs - runs 'mapping' and 'synthesis'.
   */
  constructor(info, arrays, graphs) {
    this.info = info;
    this.arrays = arrays;
    this.graphs = graphs;
    this.noise = { key: null, fields: {} }; // of the last picture: the next one mostly has the same
  }

  /**
   * @param {import("./settings.js").Settings} settings - of one picture.
   * @returns {Promise<{pixels: Uint8Array, height: number, width: number, channels: number}>}
   */
  async draw(settings) {
    const ws = await this.#stylesOf(settings);
    const { num_ws, w_dim, has_transform, styles } = this.info;
    const feeds = { ws: [ws, [1, num_ws, w_dim]] };
    const sizes = this.info.noise;
    for (const [name, field] of Object.entries(this.#noiseOf(settings))) {
      feeds[name] = [field, [1, 1, ...sizes[name]]];
    }
    if (has_transform) feeds.transform = [makeTransform(settings), [1, 3, 3]];
    if (styles) feeds.style_offset = [new Float32Array(styles), [1, styles]]; // as they are
    const { data, dims } = await this.graphs.run("synthesis", feeds, "image");
    const [, height, width, channels] = dims;
    return { pixels: data, height, width, channels };
  }

  /** The noise of a picture, by input. */
  #noiseOf(settings) {
    const { noise_mode, noise_seed } = settings;
    const key = noise_mode === "seeded" ? `seed ${noise_seed}` : noise_mode;
    if (this.noise.key !== key) {
      const constOf = (name) => this.arrays.find(`noise/${name}`);
      this.noise = { key, fields: makeNoise(this.info.noise, settings, constOf) };
    }
    return this.noise.fields;
  }

  /** The styles of the seed or of the place on the walk, some mixed in, all moved. */
  async #stylesOf(settings) {
    const { keyframes, t, seed, layers, mix_seed, directions } = settings;
    const walking = keyframes.length > 1 && t !== null;
    let ws = await (walking ? this.#stylesBetween(settings) : this.#stylesOfSeed(seed, settings));
    if (layers.length) {
      ws = mixStyles(ws, await this.#stylesOfSeed(mix_seed, settings), layers, this.info.w_dim);
    }
    for (const [name, strength] of Object.entries(directions)) {
      ws = moveStyles(ws, this.#directionNamed(name, settings.class_idx), strength);
    }
    return ws;
  }

  #stylesOfSeed(seed, settings) {
    return this.#map(makeZ(seed, this.info.z_dim), settings, this.#psiOf(settings));
  }

  async #stylesBetween(settings) {
    const { keyframes, t, curve, loop, class_idx } = settings;
    const latents = keyframes.map((seed) => makeZ(seed, this.info.z_dim));
    const time = t * (loop ? latents.length : latents.length - 1);
    const psi = this.#psiOf(settings);
    if (curve === "slerp") return this.#map(slerp(latents, time, loop), settings, psi);
    const asTrained = psi.map(() => 1);
    const points = [];
    for (const z of latents) points.push(await this.#map(z, settings, asTrained));
    return truncateStyles(CURVES[curve](points, time, loop), this.#meanOf(class_idx), psi);
  }

  async #map(z, { class_idx }, psi) {
    const { z_dim, c_dim, num_ws } = this.info;
    const feeds = { z: [z, [1, z_dim]], truncation_psi: [psi, [1, num_ws]] };
    if (c_dim) feeds.c = [oneHot(class_idx, c_dim), [1, c_dim]];
    return (await this.graphs.run("mapping", feeds, "ws")).data;
  }

  #psiOf({ psi, cutoff }) {
    return psiOfLayers(psi, cutoff, this.info.num_ws);
  }

  /** The mean w that truncation pulls to; of StyleGAN-XL, that of the class. */
  #meanOf(class_idx) {
    const means = this.arrays.find("w_avg");
    const { w_dim } = this.info;
    if (means.length === w_dim) return means;
    return means.subarray(class_idx * w_dim, (class_idx + 1) * w_dim);
  }

  /** A direction of the bundle, as 'sefa_coarse_0', or a component of the class, as 'pca:0'. */
  #directionNamed(name, class_idx) {
    const { w_dim, num_ws, direction_sets } = this.info;
    const [set, index] = /^(.*)[_:](\d+)$/.exec(name).slice(1);
    const of = set === "pca" ? `pca/${class_idx ?? 0}` : `directions/${set}`;
    const all = Array.from({ length: num_ws }, (_, layer) => layer);
    return {
      vector: this.arrays.find(of).subarray(index * w_dim, (Number(index) + 1) * w_dim),
      layers: direction_sets[set] ?? all,
    };
  }
}
