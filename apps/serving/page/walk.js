/** The walk from seed to seed: the keyframes that are collected, and the place between them. */

import { radios, randomSeed, slider } from "./controls.js";
import { isPhoto, sourceName } from "./names.js";
import { Player } from "./player.js";
import { MOST_KEYFRAMES, bounds, isWalking, segments } from "./settings.js";
import { drawInto, emptyThumb, thumbButton } from "./thumbs.js";

const FOUND = 4; // keyframes, where Play has to find them

const element = (id) => document.getElementById(id);

/**
 * @param {function(function(Settings): object)} change - takes what makes new settings of the old.
 * @returns {{show: function(Settings), saw: function(Settings, HTMLImageElement), wanted:
 *   function(): ?(number|string)}} of which `saw` is told every picture that is drawn, and `wanted` gives a
 *   seed whose picture it lacks.
 */
export function walkPanel(info, change) {
  const player = new Player((t) => change(() => ({ t })), showPlaying);
  const goTo = (t) => {
    player.stop();
    change(() => ({ t }));
  };
  const place = slider("t", "Place", bounds(info).t, goTo, "Place on the walk");
  const strip = new Strip((index) => change((now) => at(index, now)));
  const showCurve = radios("curve", (curve) => change(() => ({ curve })));
  let settings = null;

  const pace = slider("seconds", "Pace", bounds(info).seconds, (seconds) => {
    player.stop();
    change(() => ({ seconds }));
  });

  pace.describedBy("seconds-hint");
  pace.row.id = "seconds-row";
  element("seconds-row").replaceWith(pace.row);
  place.row.id = "t-row";
  element("t-row").replaceWith(place.row);
  const acts = {
    "keyframe-add": () =>
      change(({ keyframes, seed, photo }) => ({ keyframes: [...keyframes, photo ?? seed], t: null })),
    "keyframe-remove": () => change(withoutCurrent),
    "keyframes-clear": () => change(() => ({ keyframes: [], t: null })),
    play: () => {
      if (player.playing) return player.stop();
      if (settings.keyframes.length < 2) change(withFound);
      player.play(settings, segments(settings));
    },
  };
  for (const [id, act] of Object.entries(acts)) element(id).addEventListener("click", act);
  element("loop").addEventListener("change", ({ target }) => {
    player.stop();
    change(() => ({ loop: target.checked }));
  });

  return {
    show(now) {
      settings = now;
      const { keyframes, t, seed, photo, loop, curve } = now;
      if (player.playing && !isWalking(now)) player.stop();
      strip.show(keyframes, current(now));
      place.show(t ?? 0);
      for (const input of place.row.querySelectorAll("input")) input.disabled = keyframes.length < 2;
      pace.show(now.seconds);
      showCurve(curve);
      element("loop").checked = loop;
      element("keyframe-add").textContent = `Add ${sourceName(photo ?? seed)}`;
      element("keyframe-add").disabled = keyframes.length >= MOST_KEYFRAMES;
      element("keyframe-remove").disabled = current(now) < 0;
      element("keyframes-clear").disabled = !keyframes.length;
      element("walk-count").textContent = isWalking(now) ? `at ${t}` : "";
    },
    saw: (drawn, image) => strip.saw(drawn, image),
    wanted: () => strip.wanted(),
  };
}

/** The keyframes as buttons, each with its picture as soon as that was on screen. */
class Strip {
  #shown = [];
  #thumbs = new Map(); // by seed, or photo

  constructor(chosen) {
    this.chosen = chosen;
  }

  show(keyframes, current) {
    const list = element("keyframes");
    if (keyframes.join() !== this.#shown.join()) {
      this.#shown = keyframes;
      list.replaceChildren(...keyframes.map((seed, index) => this.#item(seed, index)));
      list.hidden = !keyframes.length;
    }
    [...list.querySelectorAll("button")].forEach((button, index) =>
      button.setAttribute("aria-current", index === current),
    );
  }

  /** A seed, or a photo, that no picture was seen of. */
  wanted() {
    return this.#shown.find((seed) => !this.#thumbs.has(seed)) ?? null;
  }

  /** Keep a small copy of a picture that is of one seed or photo, and of nothing else. */
  saw(drawn, image) {
    const changed = drawn.layers.length || Object.keys(drawn.directions).length;
    if (isWalking(drawn) || changed) return;
    const source = drawn.photo ?? drawn.seed;
    const thumb = emptyThumb();
    drawInto(thumb, image);
    const others = [...this.#thumbs].filter(([seed]) => this.#shown.includes(seed));
    this.#thumbs = new Map([...others, [source, thumb]]);
    for (const canvas of element("keyframes").querySelectorAll(`[data-seed="${source}"]`)) {
      drawInto(canvas, thumb);
    }
  }

  #item(seed, index) {
    const item = document.createElement("li");
    const words = `Keyframe ${index + 1}: ${sourceName(seed)}`;
    const button = thumbButton(seed, words, () => this.chosen(index));
    if (this.#thumbs.has(seed)) drawInto(button.firstChild, this.#thumbs.get(seed));
    item.append(button);
    return item;
  }
}

/** Settings at a keyframe: on the walk, or where it is the only one, its seed or photo. */
function at(index, settings) {
  const { keyframes } = settings;
  if (keyframes.length > 1) return { t: index / segments(settings) };
  const [only] = keyframes;
  return isPhoto(only) ? { photo: only } : { seed: only };
}

/** The index of the keyframe that is shown or nearest; -1 if there is none. */
function current(settings) {
  const { keyframes, seed, photo, t } = settings;
  if (!isWalking(settings)) return keyframes.lastIndexOf(photo ?? seed);
  return Math.round(t * segments(settings)) % keyframes.length;
}

function withoutCurrent(settings) {
  const index = current(settings);
  return { keyframes: settings.keyframes.filter((_, other) => other !== index), t: null };
}

/** Enough keyframes for a walk: the seed, and random ones. */
function withFound({ keyframes, seed, photo }) {
  const found = keyframes.length ? [...keyframes] : [photo ?? seed];
  while (found.length < FOUND) found.push(randomSeed());
  return { keyframes: found, loop: true, t: 0 };
}

function showPlaying(playing) {
  element("play").textContent = playing ? "Pause" : "Play";
}
