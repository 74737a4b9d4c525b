/** The panels of settings, fitted to the generator: what it cannot do is not shown. */

import { layerToggles, picker, radios, seedSlider, slider } from "./controls.js";
import { directionsPanel } from "./directions.js";
import { className } from "./names.js";
import { rest } from "./rest.js";
import { bounds, hasMotion } from "./settings.js";
import { walkPanel } from "./walk.js";

const element = (id) => document.getElementById(id);

/**
 * @param {function(function(Settings): object)} change - takes what makes new settings of the old.
 * @returns {Promise<{show: function(Settings), saw: function(Settings, HTMLImageElement), wanted:
 *   function(): ?number}>} which shows settings in all controls, and what `walkPanel` says of the
 *   others.
 */
export async function buildPanels(info, change) {
  const shows = [];
  const limits = bounds(info);
  const place = (panel, name, control) => {
    control.row.id = panel;
    element(panel).replaceWith(control.row);
    shows.push((settings) => control.show(settings[name]));
  };
  const set = (name) => (value) => change(() => ({ [name]: value }));
  const number = (panel, name, title, hint) => {
    const control = slider(name, title, limits[name], set(name));
    if (hint) control.describedBy(hint);
    place(panel, name, control);
  };
  const seed = (panel, name, title) => place(panel, name, seedSlider(name, title, set(name)));

  seed("seed-row", "seed", "Seed");
  number("psi-row", "psi", "Psi", "psi-hint");
  number("cutoff-row", "cutoff", "Cutoff", "cutoff-hint");
  shows.push(({ cutoff }) => {
    element("cutoff-hint").textContent = truncated(cutoff, info.num_ws);
  });
  seed("mix-row", "mix_seed", "Other seed");
  shows.push(layersPanel(info, change));
  if (info.c_dim) {
    const names = Array.from({ length: info.c_dim }, (_, index) => className(index, info));
    place("class-row", "class_idx", picker("class_idx", "Class", names, set("class_idx")));
  }
  if (info.has_noise) {
    seed("noise-row", "noise_seed", "Noise seed");
    shows.push(noisePanel(info, change));
  }
  if (info.has_transform) {
    number("x-row", "x", "Right");
    number("y-row", "y", "Down");
    number("rotate-row", "rotate", "Turn (°)");
    shows.push(motionPanel(info));
  }
  await rest();
  const walk = walkPanel(info, change);
  shows.push(walk.show);
  await rest();
  shows.push(directionsPanel(info, change));
  return { ...walk, show: (settings) => shows.forEach((show) => show(settings)) };
}

function layersPanel(info, change) {
  const showLayers = layerToggles(info, element("layers"), element("groups"), (layers) =>
    change(() => ({ layers })),
  );
  return ({ layers }) => {
    showLayers(layers);
    const count = `${layers.length} of ${info.num_ws} layers`;
    element("mix-count").textContent = layers.length ? count : "";
  };
}

/** What the cutoff means, as the layers that it leaves alone. */
function truncated(cutoff, num_ws) {
  if (cutoff === num_ws) return `All ${num_ws} layers are truncated.`;
  if (cutoff === 0) return "No layer is truncated: psi does nothing.";
  return `Layers 0 to ${cutoff - 1} are truncated, the finer ones are as trained.`;
}

function noisePanel(info, change) {
  const idle = info.noise_strength === 0; // null: the bundle does not tell
  element("noise-panel").hidden = false;
  element("noise-hint").hidden = !idle;
  element("noise-modes").hidden = idle;
  const showMode = radios("noise_mode", (noise_mode) => change(() => ({ noise_mode })));
  return ({ noise_mode }) => {
    showMode(noise_mode);
    element("noise-row").hidden = idle || noise_mode !== "seeded";
    const told = noise_mode === "const" ? "" : noise_mode;
    element("noise-count").textContent = idle ? "no strength" : told;
  };
}

function motionPanel(info) {
  element("motion-panel").hidden = false;
  return (settings) => {
    element("motion-count").textContent = hasMotion(settings, info) ? "moved" : "";
  };
}
