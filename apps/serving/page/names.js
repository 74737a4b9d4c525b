/** What people call the classes and the directions. */

import { photos } from "./photo_styles.js";

const MOST_LETTERS = 40; // of a text that is a name

const LAYERS = { all: "All layers", coarse: "Coarse", middle: "Middle", fine: "Fine" };

/** A class by its name, or as 'class 3'. */
export function className(index, info) {
  return info.classes?.[index] ?? `class ${index}`;
}

/** A seed, or a photo or text by the name of its styles, in words: 'seed 4', 'photo 1', 'a blue fish'. */
export function sourceName(source) {
  if (!isPhoto(source)) return `seed ${source}`;
  const text = photos.textOf(source);
  if (!text) return `photo ${source.slice(1)}`;
  return text.length > MOST_LETTERS ? `${text.slice(0, MOST_LETTERS - 1)}…` : text;
}

/** Several of them: 'seeds 4, 6', or 'seed 4, photo 1'. */
export function sourceNames(sources) {
  return sources.some(isPhoto) ? sources.map(sourceName).join(", ") : `seeds ${sources.join(", ")}`;
}

/** Whether it is the name of a photo's or a text's styles, and not a seed. */
export function isPhoto(source) {
  return typeof source === "string";
}

/**
 * A direction in words, and the set that it is shown with.
 *
 * 'sefa_coarse_0' is 'coarse 1' of the set 'Coarse', 'pca:0' is 'component 1', 'smile_2' is
 * 'smile 2', and a name without a number is among those of 'Named'.
 *
 * @returns {{words: string, set: string, hint: string}}
 */
export function directionNamed(name) {
  const [, start, number] = /^(.+)[_:](\d+)$/.exec(name) ?? [null, name, null];
  if (start === "pca") {
    const hint = "What varies most in w, by standard deviations. Found when it is first used.";
    return { words: `component ${Number(number) + 1}`, set: "Components", hint };
  }
  const layers = start.replace(/^sefa_/, "");
  if (start !== layers && layers in LAYERS && number !== null) {
    const words = `${LAYERS[layers].toLowerCase()} ${Number(number) + 1}`;
    const of = layers === "all" ? "all layers" : `the ${layers} layers`;
    const hint = `What the weights of ${of} answer to most, the strongest first.`;
    return { words, set: LAYERS[layers], hint };
  }
  const plain = start.replaceAll("_", " ");
  const hint = "These came with the bundle.";
  return number === null
    ? { words: plain, set: "Named", hint }
    : { words: `${plain} ${number}`, set: plain, hint };
}
