/** The panels of settings, fitted to the generator: what it cannot do is not shown. */

import { layerToggles, radios, seedSlider, slider } from "./controls.js";
import { directionsPanel } from "./directions.js";
import { bounds, hasMotion } from "./settings.js";
import { walkPanel } from "./walk.js";

const element = (id) => document.getElementById(id);

/**
 * @param {function(function(Settings): object)} change - takes what makes new settings of the old.
 * @returns {{show: function(Settings), saw: function(Settings, HTMLImageElement), wanted:
 *   function(): ?number}} which shows settings in all controls, and what `walkPanel` says of the
 *   others.
 */
export function buildPanels(info, change) {
  const shows = [];
  const limits = bounds(info);
  const place = (panel, name, control) => {
    control.row.id = panel;
    element(panel).replaceWith(control.row);
    shows.push((settings) => control.show(settings[name]));
  };
  const set = (name) => (value) => change(() => ({ [name]: value }));
  const number = (panel, name, title, spoken) =>
    place(panel, name, slider(name, title, limits[name], set(name), spoken));
  const seed = (panel, name, title) => place(panel, name, seedSlider(name, title, set(name)));

  seed("seed-row", "seed", "Seed");
  number("psi-row", "psi", "Psi");
  number("cutoff-row", "cutoff", "Cutoff", "Cutoff: layers from this one on are not truncated");
  seed("mix-row", "mix_seed", "Other seed");
  shows.push(layersPanel(info, change));
  if (info.c_dim) number("class-row", "class_idx", "Class");
  if (info.has_noise) {
    seed("noise-row", "noise_seed", "Noise seed");
    shows.push(noisePanel(change));
  }
  if (info.has_transform) {
    number("x-row", "x", "Right");
    number("y-row", "y", "Down");
    number("rotate-row", "rotate", "Turn (°)");
    shows.push(motionPanel(info));
  }
  const walk = walkPanel(info, change);
  shows.push(walk.show);
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

function noisePanel(change) {
  element("noise-panel").hidden = false;
  const showMode = radios("noise_mode", (noise_mode) => change(() => ({ noise_mode })));
  return ({ noise_mode }) => {
    showMode(noise_mode);
    element("noise-row").hidden = noise_mode !== "seeded";
    element("noise-count").textContent = noise_mode === "const" ? "" : noise_mode;
  };
}

function motionPanel(info) {
  element("motion-panel").hidden = false;
  return (settings) => {
    element("motion-count").textContent = hasMotion(settings, info) ? "moved" : "";
  };
}
