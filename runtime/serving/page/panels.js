/** The panels of settings, fitted to the generator: what it cannot do is not shown. */

import { directionSets, layerToggles, seedSlider, slider } from "./controls.js";
import { bounds, hasMotion } from "./settings.js";

const FEW = 5; // directions of a set that are shown at first

const element = (id) => document.getElementById(id);

/**
 * @param {function(function(Settings): object)} change - takes what makes new settings of the old.
 * @returns {function(Settings)} shows settings in all controls.
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
  if (info.directions.length) shows.push(...directionsPanel(info, limits.direction, change));
  return (settings) => shows.forEach((show) => show(settings));
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
  const radios = [...element("noise-modes").querySelectorAll("input")];
  for (const radio of radios) {
    radio.addEventListener("change", () => change(() => ({ noise_mode: radio.value })));
  }
  return ({ noise_mode }) => {
    for (const radio of radios) radio.checked = radio.value === noise_mode;
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

/** Sliders for all directions, of which one set is shown at a time. */
function directionsPanel(info, limits, change) {
  const shows = [];
  const rows = [];
  const sets = directionSets(info.directions);
  const names = [...sets.keys()];
  let chosen = names[0];
  let all = false;
  const list = () => {
    for (const { row, set, index } of rows) row.hidden = set !== chosen || (!all && index >= FEW);
    const count = sets.get(chosen).length;
    element("more-directions").hidden = count <= FEW;
    element("more-directions").textContent = all ? `Show ${FEW}` : `Show all ${count}`;
  };
  for (const [set, directions] of sets) {
    const choose = () => {
      chosen = set;
      list();
    };
    element("direction-sets").append(choice("direction_set", set, set === chosen, choose));
    directions.forEach(({ name, title }, index) => {
      const setTo = (strength) => change(moved(name, strength));
      const control = slider(name, title, limits, setTo, name);
      control.row.classList.toggle("long", title === name);
      element("directions").append(control.row);
      rows.push({ row: control.row, set, index });
      shows.push((settings) => control.show(settings.directions[name] ?? 0));
    });
  }
  element("more-directions").addEventListener("click", () => {
    all = !all;
    list();
  });
  element("reset-directions").addEventListener("click", () => change(() => ({ directions: {} })));
  element("directions-panel").hidden = false;
  list();
  shows.push(({ directions }) => {
    const count = Object.keys(directions).length;
    element("directions-count").textContent = count ? `${count} moved` : "";
    element("reset-directions").disabled = count === 0;
  });
  return shows;
}

/** The change of one direction's strength; 0 takes it out. */
function moved(name, strength) {
  return ({ directions: { [name]: _, ...others } }) => ({
    directions: strength ? { ...others, [name]: strength } : others,
  });
}

function choice(name, title, checked, chosen) {
  const label = document.createElement("label");
  const radio = Object.assign(document.createElement("input"), { type: "radio", name, checked });
  radio.addEventListener("change", chosen);
  const text = document.createElement("span");
  text.textContent = title;
  label.append(radio, text);
  return label;
}
