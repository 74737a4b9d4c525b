/** The page's own controls, made from the templates in index.html: sliders, seeds, layers. */

import { GROUPS, LARGEST_SEED } from "./settings.js";

const FEW_NAMES = 12;
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
 * @returns {{row: HTMLElement, show: function(number), describedBy: function(string)}}
 */
export function slider(name, title, limits, changed, spoken = title) {
  return fitted(instance("slider-template"), name, [title, spoken], limits, changed);
}

/** A seed: number, previous and next, random, and a slider that runs through its neighbours. */
export function seedSlider(name, title, changed) {
  const row = instance("seed-template");
  let seed = 0;
  for (const button of row.querySelectorAll("button")) {
    const { step } = button.dataset;
    const what = { "-1": "previous", 1: "next", random: "random" }[step];
    button.id = `${name}-${what}`;
    button.setAttribute("aria-label", `${title}: ${what}`);
    button.addEventListener("click", () =>
      changed(step === "random" ? randomSeed() : stepped(seed, Number(step))),
    );
  }
  const range = row.querySelector("[type=range]");
  const control = fitted(row, name, [title, title], [0, LARGEST_SEED, 1], changed);
  const show = (value) => {
    seed = value;
    const first = Math.floor(seed / SCRUBBED) * SCRUBBED;
    range.min = first;
    range.max = Math.min(first + SCRUBBED - 1, LARGEST_SEED);
    control.show(seed);
  };
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
    const group = GROUPS.find((name) => info.layers[name].includes(layer));
    button.setAttribute("aria-label", `Layer ${layer}, ${group}`);
    layers.append(button);
    return button;
  });
  const named = ["all", ...GROUPS].filter((name) => info.layers[name].length);
  const groupButtons = named.map((name) => {
    const button = toggle(`layers-${name}`, capital(name), () => flip(info.layers[name]));
    groups.append(button);
    return [button, info.layers[name]];
  });
  return (now) => {
    chosen = new Set(now);
    buttons.forEach((button, layer) => button.setAttribute("aria-pressed", chosen.has(layer)));
    for (const [button, indices] of groupButtons) {
      const some = indices.some((layer) => chosen.has(layer));
      const all = indices.every((layer) => chosen.has(layer));
      button.setAttribute("aria-pressed", some && !all ? "mixed" : all);
    }
  };
}

/**
 * Radio buttons that are in the page.
 *
 * @param {function(string)} changed - called with the value that is chosen.
 * @returns {function(string)} shows a value.
 */
export function radios(name, changed) {
  const buttons = [...document.querySelectorAll(`[name=${name}]`)];
  for (const button of buttons) button.addEventListener("change", () => changed(button.value));
  return (value) => {
    for (const button of buttons) button.checked = button.value === value;
  };
}

/** One of several that exclude each other, as a radio button. */
export function choice(name, title, checked, chosen) {
  const label = document.createElement("label");
  const radio = Object.assign(document.createElement("input"), { type: "radio", name, checked });
  radio.addEventListener("change", chosen);
  const text = document.createElement("span");
  text.textContent = title;
  label.append(radio, text);
  return label;
}

/**
 * One of several by name: buttons where they are few, a list where they are many.
 *
 * @param {function(number)} changed - called with the index of the chosen one.
 * @returns {{row: HTMLElement, show: function(number)}}
 */
export function picker(name, title, names, changed) {
  if (names.length <= FEW_NAMES) {
    const row = Object.assign(document.createElement("div"), { className: "choice" });
    row.setAttribute("role", "radiogroup");
    row.setAttribute("aria-label", title);
    row.append(...names.map((text, index) => choice(name, text, false, () => changed(index))));
    const radios = row.querySelectorAll("input");
    return { row, show: (index) => (radios[index].checked = true) };
  }
  const row = Object.assign(document.createElement("label"), { className: "list" });
  const list = Object.assign(document.createElement("select"), { id: name });
  list.append(...names.map((text, index) => new Option(text, index)));
  list.addEventListener("change", () => changed(list.selectedIndex));
  row.append(`${title} `, list);
  return { row, show: (index) => (list.selectedIndex = index) };
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function instance(template) {
  return document.getElementById(template).content.firstElementChild.cloneNode(true);
}

/** Give a template's row its name, its limits and its life. */
function fitted(row, name, [title, spoken], limits, changed) {
  const [label, range, number] = ["label", "[type=range]", "[type=number]"].map((part) =>
    row.querySelector(part),
  );
  let shown = 0;
  const show = (value) => {
    shown = value;
    range.value = value;
    if (number !== document.activeElement || number.valueAsNumber !== value) number.value = value;
    fill(range);
  };
  label.textContent = title;
  label.htmlFor = number.id = name;
  range.id = `${name}-slider`;
  for (const input of [range, number]) {
    [input.min, input.max, input.step] = limits;
    input.setAttribute("aria-label", spoken);
    input.addEventListener("input", () => {
      const value = valueOf(input, limits);
      if (value !== null) changed(value);
    });
  }
  number.addEventListener("blur", () => show(shown)); // what was no number goes
  const describedBy = (id) => {
    for (const input of [range, number]) input.setAttribute("aria-describedby", id);
  };
  return { row, show, describedBy };
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

/** How much of the slider's track is coloured: from zero, or from the left end. */
function fill(range) {
  const [least, most, value] = [range.min, range.max, range.value].map(Number);
  const share = (x) => ((x - least) / (most - least || 1)) * 100;
  const zero = share(Math.min(Math.max(0, least), most));
  range.style.setProperty("--from", `${Math.min(zero, share(value))}%`);
  range.style.setProperty("--to", `${Math.max(zero, share(value))}%`);
}
