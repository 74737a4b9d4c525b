/** The Python that draws a picture with the library: the same calls that the service makes. */

import { isPhoto } from "./names.js";
import { GROUPS, hasMotion, isWalking, segments, spans } from "./settings.js";

const WIDTH = 88;

/**
 * @param {import("./settings.js").Settings} settings
 * @returns {string} a program that ends with `image`, uint8 [H, W, C].
 */
export function pythonOf(settings, info) {
  const joins = isWalking(settings) && settings.keyframes.some(isPhoto);
  return [
    ...(joins ? ["import numpy as np"] : []),
    "import stylert",
    "",
    `with stylert.open(${text(info.bundle)}) as generator:`,
    ...drawingLines(settings, info).map((line) => `    ${line}`),
    "image = images[0]  # uint8 [H, W, C]",
    "",
  ].join("\n");
}

/** As few calls as draw it: what a person would write. */
function drawingLines(settings, info) {
  const { seed, mix_seed } = settings;
  const styles = stylesOptions(settings, info);
  const drawing = drawingOptions(settings, info);
  const moved = Object.keys(settings.directions).length > 0;
  const mixed = settings.layers.length > 0;
  const photo = settings.photo && !isWalking(settings);
  if (!mixed && !moved && !isWalking(settings) && !photo) {
    return call("images = generator.generate", [`[${seed}]`, ...styles, ...drawing]);
  }
  if (!moved && !isWalking(settings) && !photo && !settings.mix_photo && !hasMotion(settings, info)) {
    const layers = `layers=${text(layerNames(settings.layers, info.layers))}`;
    const options = [`[${seed}]`, `[${mix_seed}]`, layers, ...styles, ...drawing];
    return call("images = generator.mix", options, "[0]");
  }
  return [
    ...stylesLines(settings, styles),
    ...(mixed ? mixLines(settings, styles) : []),
    ...(moved ? editLines(settings, info) : []),
    ...call("images = generator.synthesize", ["ws", ...drawing]),
  ];
}

/** The file that the page saves a photo's styles as. */
export function stylesFile(photo) {
  return `photo-${photo.slice(1)}.npz`;
}

/** The styles of the seed, of the photo, or of the place on the walk. */
function stylesLines(settings, options) {
  if (settings.photo && !isWalking(settings)) {
    return [`ws = ${loadCall(settings.photo)}  # from the page's button "Save styles"`];
  }
  if (!isWalking(settings)) {
    return call("ws = generator.styles", [`[${settings.seed}]`, ...options]);
  }
  const { keyframes } = settings;
  const joined = keyframes.some(isPhoto);
  const place = [joined ? "keyframes" : `[${keyframes.join(", ")}]`, `${settings.t * segments(settings)}`];
  const curve = settings.curve === "cubic" ? [] : [`curve=${text(settings.curve)}`];
  const loop = settings.loop ? ["loop=True"] : [];
  if (!joined) return call("ws = generator.styles_between", [...place, ...curve, ...loop, ...options]);
  return [
    "keyframes = np.concatenate([",
    ...keyframes.flatMap((source) => keyframeLines(source, options)).map((line) => `    ${line}`),
    "])",
    ...call("ws = generator.styles_between", [...place, ...curve, ...loop]),
  ];
}

function keyframeLines(source, options) {
  if (isPhoto(source)) return [`${loadCall(source)},`];
  return call("generator.styles", [`[${source}]`, ...options], ",");
}

function loadCall(photo) {
  return `generator.load_ws(${text(stylesFile(photo))})`;
}

function mixLines({ layers, mix_seed, mix_photo }, options) {
  const chosen = `[:, [${layers.join(", ")}]]`;
  return [
    ...(mix_photo
      ? [`other = ${loadCall(mix_photo)}`]
      : call("other = generator.styles", [`[${mix_seed}]`, ...options])),
    `ws${chosen} = other${chosen}`,
  ];
}

function editLines({ directions, class_idx }, info) {
  const lines = [];
  for (const [name, strength] of Object.entries(directions)) {
    let direction = text(name);
    if (info.components.includes(name)) {
      if (!lines.some((line) => line.startsWith("components = "))) {
        lines.push(...call("components = generator.pca", classOption(class_idx, info)));
      }
      direction = `components.direction(${name.split(":")[1]})`;
    }
    lines.push(...call("ws = generator.edit", ["ws", direction, `${strength}`]));
  }
  return lines;
}

function stylesOptions(settings, info) {
  const options = [`truncation_psi=${settings.psi}`];
  if (settings.cutoff < info.num_ws) options.push(`truncation_cutoff=${settings.cutoff}`);
  return [...options, ...classOption(settings.class_idx, info)];
}

function classOption(class_idx, info) {
  return info.c_dim ? [`class_idx=${class_idx}`] : [];
}

function drawingOptions(settings, info) {
  const options = [];
  if (settings.noise_mode !== "const") options.push(`noise_mode=${text(settings.noise_mode)}`);
  if (settings.noise_mode === "seeded") options.push(`noise_seed=${settings.noise_seed}`);
  if (hasMotion(settings, info)) {
    options.push(`translate=(${settings.x}, ${settings.y})`, `rotate=${settings.rotate}`);
  }
  return options;
}

/** 'coarse,8' where a whole group is chosen, else indices: what a person would write. */
function layerNames(layers, groups) {
  const names = GROUPS.filter(
    (name) => groups[name].length && groups[name].every((layer) => layers.includes(layer)),
  );
  const named = new Set(names.flatMap((name) => groups[name]));
  const rest = spans(layers.filter((layer) => !named.has(layer)));
  return [...names, ...(rest ? [rest] : [])].join(",");
}

/** A call on one line, or an argument a line where it is too long. */
function call(name, options, end = "") {
  const line = `${name}(${options.join(", ")})${end}`;
  if (line.length + 4 <= WIDTH) return [line];
  return [`${name}(`, ...options.map((option) => `    ${option},`), `)${end}`];
}

/** A string of Python: JSON's escapes are Python's too. */
function text(value) {
  return JSON.stringify(value);
}
