/** The Python that draws a picture with the library: the same calls that the service makes. */

import { GROUPS, hasMotion, spans } from "./settings.js";

const WIDTH = 88;

/**
 * @param {import("./settings.js").Settings} settings
 * @returns {string} a program that ends with `image`, uint8 [H, W, C].
 */
export function pythonOf(settings, info) {
  const { seed, mix_seed } = settings;
  const styles = stylesOptions(settings, info);
  const drawing = drawingOptions(settings, info);
  const layers = text(layerNames(settings.layers, info.layers));
  const moved = Object.entries(settings.directions);
  const mixed = settings.layers.length > 0;
  const lines = [];
  if (!mixed && !moved.length) {
    lines.push(...call("images = generator.generate", [`[${seed}]`, ...styles, ...drawing]));
  } else if (!moved.length && !hasMotion(settings, info)) {
    const options = [`[${seed}]`, `[${mix_seed}]`, `layers=${layers}`, ...styles, ...drawing];
    lines.push(...call("images = generator.mix", options, "[0]"));
  } else {
    lines.push(...call("ws = generator.styles", [`[${seed}]`, ...styles]));
    if (mixed) {
      const chosen = `[:, [${settings.layers.join(", ")}]]`;
      lines.push(...call("other = generator.styles", [`[${mix_seed}]`, ...styles]));
      lines.push(`ws${chosen} = other${chosen}`);
    }
    for (const [name, strength] of moved) {
      lines.push(...call("ws = generator.edit", ["ws", text(name), `${strength}`]));
    }
    lines.push(...call("images = generator.synthesize", ["ws", ...drawing]));
  }
  return [
    "import stylert",
    "",
    `with stylert.open(${text(info.bundle)}) as generator:`,
    ...lines.map((line) => `    ${line}`),
    "image = images[0]  # uint8 [H, W, C]",
    "",
  ].join("\n");
}

function stylesOptions(settings, info) {
  const options = [`truncation_psi=${settings.psi}`];
  if (settings.cutoff < info.num_ws) options.push(`truncation_cutoff=${settings.cutoff}`);
  if (info.c_dim) options.push(`class_idx=${settings.class_idx}`);
  return options;
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
