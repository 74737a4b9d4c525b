/** The page's own controls, made from the templates in index.html: sliders, seeds, layers. */

import { LARGEST_SEED } from "./settings.js";

const SCRUBBED = 10_000; // seeds that one slider runs through
const RANDOM_BELOW = 1_000_000; // short enough to remember

/** A random seed. */
export function randomSeed() {
  return Math.floor(Math.random() * RANDOM_BELOW);
}

/**
 * A labelled slider with its number.
 *
 * @param {string} name - becomes the ids NAME (number) and NAME-slider.
 * @param {string} title - what is written beside it.
 * @param {[number, number, number]} limits - least, most, step.
 * @param {function(number)} changed - called with every new value.
 * @param {string} [spoken] - what is read out instead of the title.
 * @returns {{row: HTMLElement, show: function(number)}}
 */
export function slider(name, title, limits, changed, spoken = title) {
  const row = instance("slider-template");
  const parts = fitted(row, name, title, limits);
  for (const input of [parts.range, parts.number]) input.setAttribute("aria-label", spoken);
  for (const input of [parts.range, parts.number]) {
    input.addEventListener("input", () => {
      const value = valueOf(input, limits);
      if (value !== null) changed(value);
    });
  }
  parts.number.addEventListener("blur", () => show(parts.value)); // what was no number goes
  function show(value) {
    parts.value = value;
    put(parts.range, value);
    put(parts.number, value);
    fill(parts.range);
  }
  return { row, show };
}

/** A seed: number, previous and next, random, and a slider that runs through its neighbours. */
export function seedSlider(name, title, changed) {
  const row = instance("seed-template");
  const limits = [0, LARGEST_SEED, 1];
  const parts = fitted(row, name, title, limits);
  for (const button of row.querySelectorAll("button")) {
    const step = button.dataset.step;
    const what = { "-1": "Previous", 1: "Next", random: "Random" }[step];
    button.setAttribute("aria-label", `${what} ${title.toLowerCase()}`);
    button.id = `${name}-${what.toLowerCase()}`;
    button.addEventListener("click", () => {
      changed(step === "random" ? randomSeed() : stepped(parts.value, Number(step)));
    });
  }
  parts.range.addEventListener("input", () => changed(Number(parts.range.value)));
  parts.number.addEventListener("input", () => {
    const value = valueOf(parts.number, limits);
    if (value !== null) changed(value);
  });
  parts.number.addEventListener("blur", () => show(parts.value));
  function show(value) {
    parts.value = value;
    const first = Math.floor(value / SCRUBBED) * SCRUBBED;
    parts.range.min = first;
    parts.range.max = Math.min(first + SCRUBBED - 1, LARGEST_SEED);
    put(parts.range, value);
    put(parts.number, value);
    fill(parts.range);
  }
  return { row, show };
}

/** The seed before or after, around the ends. */
export function stepped(seed, step) {
  return (seed + step + LARGEST_SEED + 1) % (LARGEST_SEED + 1);
}

/**
 * A button for each layer, and one for each group of layers.
 *
 * @param {function(number[])} changed - called with the chosen layers, in order.
 * @returns {function(number[])} shows the chosen layers.
 */
export function layerToggles(info, layers, groups, changed) {
  let chosen = new Set();
  const flip = (indices) => {
    const on = !indices.every((layer) => chosen.has(layer));
    for (const layer of indices) on ? chosen.add(layer) : chosen.delete(layer);
    changed([...chosen].sort((a, b) => a - b));
  };
  const buttons = Array.from({ length: info.num_ws }, (_, layer) => {
    const button = toggle(`layer-${layer}`, `${layer}`, () => flip([layer]));
    const group = Object.keys(info.layers).find((g) => g !== "all" && info.layers[g].includes(layer));
    button.setAttribute("aria-label", `Layer ${layer}, ${group}`);
    button.dataset.group = group;
    layers.append(button);
    return button;
  });
  const named = Object.entries(info.layers).filter(([, indices]) => indices.length);
  const groupButtons = named.map(([name, indices]) => {
    const button = toggle(`layers-${name}`, capital(name), () => flip(indices));
    groups.append(button);
    return [button, indices];
  });
  return (now) => {
    chosen = new Set(now);
    buttons.forEach((button, layer) => button.setAttribute("aria-pressed", chosen.has(layer)));
    for (const [button, indices] of groupButtons) {
      const count = indices.filter((layer) => chosen.has(layer)).length;
      button.setAttribute("aria-pressed", count === 0 ? "false" : count === indices.length || "mixed");
    }
  };
}

/** 'sefa_coarse_3' belongs to the set 'sefa_coarse'; a name without a number is alone in its set. */
export function directionSets(names) {
  const sets = new Map();
  for (const name of names) {
    const [, set, number] = /^(.+)_(\d+)$/.exec(name) ?? [null, name, ""];
    if (!sets.has(set)) sets.set(set, []);
    sets.get(set).push({ name, title: number || name });
  }
  return sets;
}

/** The first letter in capitals. */
export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function instance(template) {
  return document.getElementById(template).content.firstElementChild.cloneNode(true);
}

function fitted(row, name, title, [least, most, step]) {
  const [label, range, number] = ["label", "[type=range]", "[type=number]"].map((s) =>
    row.querySelector(s),
  );
  label.textContent = title;
  label.htmlFor = number.id = name;
  range.id = `${name}-slider`;
  range.setAttribute("aria-label", title);
  for (const input of [range, number]) {
    input.min = least;
    input.max = most;
    input.step = step;
  }
  return { range, number, value: least };
}

function toggle(id, text, pressed) {
  const button = document.createElement("button");
  button.type = "button";
  button.id = id;
  button.textContent = text;
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", pressed);
  return button;
}

/** The number in a field, pulled into its limits; null while there is none. */
function valueOf(input, [least, most, step]) {
  const value = input.valueAsNumber;
  if (Number.isNaN(value)) return null;
  const inside = Math.min(Math.max(value, least), most);
  return step === 1 ? Math.round(inside) : inside;
}

/** Set a field, but not under the hands of who types into it. */
function put(input, value) {
  if (input.type === "number" && input === document.activeElement && input.valueAsNumber === value) return;
  input.value = value;
}

/** How much of the slider's track is coloured: from zero, or from the left end. */
function fill(range) {
  const [least, most, value] = [range.min, range.max, range.value].map(Number);
  const share = (x) => ((x - least) / (most - least || 1)) * 100;
  const zero = share(Math.min(Math.max(0, least), most));
  range.style.setProperty("--from", `${Math.min(zero, share(value))}%`);
  range.style.setProperty("--to", `${Math.max(zero, share(value))}%`);
}
