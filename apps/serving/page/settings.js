/**
 * The settings of one picture: what they may be, and how they are written into the address.
 *
 * @typedef {object} Settings
 * @property {number} seed
 * @property {?number} class_idx - null where the generator knows no classes
 * @property {?string} photo - the name of the styles of a photo or a text, in place of the seed
 * @property {number} psi
 * @property {number} cutoff - how many layers are truncated; all of them is the API's None
 * @property {(number|string)[]} keyframes - seeds, and photos, that a walk goes through
 * @property {?number} t - the place on the walk, 0 to 1; null: the picture is that of the seed
 * @property {string} curve - of the walk: "cubic", "linear" or "slerp"
 * @property {number} seconds - from keyframe to keyframe, as it plays
 * @property {boolean} loop - whether the walk goes back to its first keyframe
 * @property {number[]} layers - those that come from the other seed, in order; none = no mixing
 * @property {number} mix_seed
 * @property {?string} mix_photo - in place of the other seed
 * @property {string} noise_mode - "const", "none" or "seeded"
 * @property {number} noise_seed
 * @property {number} x - to the right, in sides of the picture
 * @property {number} y - down
 * @property {number} rotate - degrees, counter-clockwise
 * @property {Object<string, number>} directions - strengths by name; 0 is left out
 */

import { className, directionNamed, isPhoto, sourceName, sourceNames } from "./names.js";
import { photos } from "./photo_styles.js";

export const LARGEST_SEED = 2 ** 32 - 1;
export const MOST_KEYFRAMES = 16;
export const FPS = 30; // of a video
const TYPICAL_PSI = 0.7;
export const GROUPS = ["coarse", "middle", "fine"]; // of layers
const PHOTOS = ["photo", "mix_photo"];
const CHOICES = {
  noise_mode: ["const", "none", "seeded"],
  curve: ["cubic", "linear", "slerp"],
};

/** What each number may be: least, most, and the step of its slider. */
export function bounds(info) {
  return {
    seed: [0, LARGEST_SEED, 1],
    class_idx: [0, Math.max(info.c_dim - 1, 0), 1],
    psi: [-1, 1.5, 0.01],
    cutoff: [0, info.num_ws, 1],
    t: [0, 1, 0.005],
    seconds: [0.5, 10, 0.5],
    mix_seed: [0, LARGEST_SEED, 1],
    noise_seed: [0, LARGEST_SEED, 1],
    x: [-0.5, 0.5, 0.005],
    y: [-0.5, 0.5, 0.005],
    rotate: [-180, 180, 1],
  };
}

/** The names of all directions: those of the bundle, then the principal components. */
export function directionNames(info) {
  return [...info.directions, ...info.components];
}

/** What the strength of a direction may be; that of a component counts standard deviations. */
export function strengthBounds(name, info) {
  return info.components.includes(name) ? [-5, 5, 0.05] : [-10, 10, 0.1];
}

/** @returns {Settings} of a typical picture, as galleries show them, and nothing else. */
export function defaults(info) {
  return {
    seed: 0,
    photo: null,
    class_idx: info.c_dim ? 0 : null,
    psi: Math.min(info.truncation_psi, TYPICAL_PSI),
    cutoff: info.truncation_cutoff ?? info.num_ws,
    keyframes: [],
    t: null,
    curve: "cubic",
    seconds: 3,
    loop: false,
    layers: [],
    mix_seed: 1,
    mix_photo: null,
    noise_mode: "const",
    noise_seed: 0,
    x: 0,
    y: 0,
    rotate: 0,
    directions: {},
  };
}

/** The same, but a seed's own picture: no walk, no mix, no directions. */
export function plain(settings) {
  return { ...settings, photo: null, t: null, layers: [], directions: {} };
}

/** The same, but the own picture of a seed or a photo. */
export function alone(settings, source) {
  return { ...plain(settings), ...(isPhoto(source) ? { photo: source } : { seed: source }) };
}

/** Whether the picture is moved or turned at all. */
export function hasMotion({ x, y, rotate }, info) {
  return info.has_transform && (x !== 0 || y !== 0 || rotate !== 0);
}

/** Whether the picture is one of a walk, and not that of the seed. */
export function isWalking({ keyframes, t }) {
  return keyframes.length > 1 && t !== null;
}

/** How many ways from keyframe to keyframe a walk has. */
export function segments({ keyframes, loop }) {
  return loop ? keyframes.length : keyframes.length - 1;
}

/** How many frames from keyframe to keyframe the video of a walk has. */
export function framesBetween({ seconds }) {
  return Math.round(seconds * FPS);
}

/** How many frames it has. */
export function frameCount(settings) {
  return segments(settings) * framesBetween(settings) + (settings.loop ? 0 : 1);
}

/** Settings as the part of the address behind '#': only what is not as at the start. */
export function toHash(settings, info) {
  const start = defaults(info);
  const query = new URLSearchParams({ seed: settings.seed });
  for (const name of numbersOf(info)) {
    if (settings[name] !== start[name]) query.set(name, settings[name]);
  }
  for (const name of PHOTOS) if (settings[name]) query.set(name, settings[name]); // for this tab
  if (settings.keyframes.length) query.set("keyframes", settings.keyframes.join(","));
  if (settings.loop) query.set("loop", "1");
  if (settings.layers.length) query.set("layers", spans(settings.layers));
  for (const name of Object.keys(CHOICES)) {
    if (settings[name] !== start[name]) query.set(name, settings[name]);
  }
  for (const [name, strength] of Object.entries(settings.directions)) query.set(name, strength);
  return `#${query}`.replaceAll("%2C", ",").replaceAll("%3A", ":"); // as people write them
}

/**
 * Settings from an address that anybody may have written.
 *
 * @returns {{settings: Settings, ignored: string[]}} with the names of what does not fit.
 */
export function fromHash(hash, info) {
  const settings = defaults(info);
  const limits = bounds(info);
  const numbers = numbersOf(info);
  const directions = new Set(directionNames(info));
  const ignored = [];
  for (const [name, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    const value = text.trim() === "" ? NaN : Number(text);
    if (numbers.includes(name) && within(value, limits[name])) {
      settings[name] = value;
    } else if (directions.has(name) && within(value, strengthBounds(name, info))) {
      if (value) settings.directions[name] = value;
    } else if (PHOTOS.includes(name) && photos.has(text)) {
      settings[name] = text;
    } else if (name === "layers" && layersOf(text, info.num_ws)) {
      settings.layers = layersOf(text, info.num_ws);
    } else if (name === "keyframes" && keyframesOf(text)) {
      settings.keyframes = keyframesOf(text);
    } else if (name === "loop" && text === "1") {
      settings.loop = true;
    } else if (CHOICES[name]?.includes(text) && (name !== "noise_mode" || info.has_noise)) {
      settings[name] = text;
    } else {
      ignored.push(name);
    }
  }
  return { settings, ignored };
}

/** Layers as the API reads them: [0, 1, 2, 5] is '0-2,5'. */
export function spans(layers) {
  const parts = [];
  for (let i = 0; i < layers.length; i++) {
    const first = layers[i];
    while (layers[i + 1] === layers[i] + 1) i++;
    parts.push(first === layers[i] ? `${first}` : `${first}-${layers[i]}`);
  }
  return parts.join(",");
}

/** The picture in words, for those who do not see it. */
export function inWords(settings, info) {
  const words = isWalking(settings)
    ? [`the way through ${sourceNames(settings.keyframes)} at ${settings.t}`]
    : [sourceName(settings.photo ?? settings.seed)];
  if (info.c_dim && (isWalking(settings) || !settings.photo)) words.push(className(settings.class_idx, info));
  words.push(`truncation ${settings.psi}`);
  if (settings.layers.length) {
    words.push(`layers ${spans(settings.layers)} of ${sourceName(settings.mix_photo ?? settings.mix_seed)}`);
  }
  for (const [name, strength] of Object.entries(settings.directions)) {
    words.push(`${directionNamed(name).words} at ${strength}`);
  }
  return `Picture of ${words.join(", ")}`;
}

/** The plain numbers among the settings that this generator has. */
function numbersOf(info) {
  return [
    "seed",
    "psi",
    "cutoff",
    "t",
    "seconds",
    "mix_seed",
    ...(info.c_dim ? ["class_idx"] : []),
    ...(info.has_noise ? ["noise_seed"] : []),
    ...(info.has_transform ? ["x", "y", "rotate"] : []),
  ];
}

function within(value, [least, most, step]) {
  const whole = step !== 1 || Number.isInteger(value);
  return whole && value >= least && value <= most; // false for NaN
}

/** The seeds, and photos, of '3,14,p1', or null for another text. */
function keyframesOf(text) {
  const read = (part) => (photos.has(part) ? part : /^\d{1,10}$/.test(part) ? Number(part) : NaN);
  const found = text.split(",").map(read);
  const fits = (source) => isPhoto(source) || source <= LARGEST_SEED; // false for NaN
  return found.length <= MOST_KEYFRAMES && found.every(fits) ? found : null;
}

/** The layers of '0-2,5', or null for another text. */
function layersOf(text, num_ws) {
  const layers = new Set();
  for (const part of text.split(",")) {
    const match = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(part);
    const [first, last] = match ? [Number(match[1]), Number(match[2] ?? match[1])] : [1, 0];
    if (first > last || last >= num_ws) return null;
    for (let i = first; i <= last; i++) layers.add(i);
  }
  return [...layers].sort((a, b) => a - b);
}
