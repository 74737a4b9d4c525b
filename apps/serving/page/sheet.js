/** A sheet of seeds to choose from: for the picture, for its mix, or for the walk. */

import { saveBlob } from "./actions.js";
import { randomSeed, stepped } from "./controls.js";
import { nextFrame } from "./rest.js";
import { MOST_KEYFRAMES, plain } from "./settings.js";
import { drawInto, thumbButton } from "./thumbs.js";

const COUNTS = [24, 16, 12, 9, 6, 4, 1]; // of seeds; the first that the server draws as a grid
const AT_ONCE = 4; // that the server can draw together
const element = (id) => document.getElementById(id);

/** What a sheet is for: its title, the settings of a cell, what is chosen, what choosing changes. */
const USES = {
  seed: {
    title: "Choose a seed",
    cell: (settings, seed) => ({ ...settings, photo: null, t: null, seed }),
    chosen: ({ seed }) => [seed],
    choose: (_, seed) => ({ seed }),
  },
  mix_seed: {
    title: "Choose the other seed",
    cell: (settings, seed) =>
      settings.layers.length ? { ...settings, mix_photo: null, mix_seed: seed } : { ...plain(settings), seed },
    chosen: ({ mix_seed }) => [mix_seed],
    choose: (_, mix_seed) => ({ mix_seed }),
  },
  keyframes: {
    title: "Choose the keyframes",
    several: true,
    cell: (settings, seed) => ({ ...plain(settings), seed }),
    chosen: ({ keyframes }) => keyframes,
    choose: ({ keyframes }, seed) => ({
      keyframes: keyframes.includes(seed)
        ? keyframes.filter((other) => other !== seed)
        : [...keyframes, seed].slice(0, MOST_KEYFRAMES),
      t: null,
    }),
  },
};

/**
 * @param {function(Settings, AbortSignal): Promise<Blob>} draw - several seeds become a grid.
 * @param {function(function(Settings): object)} change - takes what makes new settings of the old.
 * @param {function(Error)} failed
 * @returns {{open: function(string), show: function(Settings)}} of which `open` takes a name of
 *   USES, and `show` is told the settings.
 */
export function buildSheet(info, draw, change, failed) {
  const dialog = element("sheet");
  const count = COUNTS.find((number) => fits(number, info));
  let settings = null;
  let use = USES.seed;
  let seeds = [];
  let drawing = new AbortController();

  const begin = (wanted) => {
    drawing.abort();
    drawing = new AbortController();
    seeds = wanted;
    const buttons = seeds.map((seed) => thumbButton(seed, `Seed ${seed}`, () => choose(seed)));
    element("sheet-cells").replaceChildren(...buttons);
    showChosen();
    const cells = buttons.map((button, i) => [button.firstChild, use.cell(settings, seeds[i])]);
    element("sheet-cells").ariaBusy = "true";
    telling(async (signal) => {
      await fill(cells, draw, signal);
      element("sheet-cells").ariaBusy = "false";
    });
  };
  /** To show the sheet and to make its cells at once would hold the page up. */
  const beginAfterwards = async () => {
    drawing = new AbortController();
    const { signal } = drawing;
    await nextFrame();
    if (!signal.aborted) begin(seeds);
  };
  const choose = (seed) => {
    change((now) => use.choose(now, seed));
    if (!use.several) dialog.close();
  };
  const showChosen = () => {
    const chosen = use.chosen(settings);
    [...element("sheet-cells").children].forEach((button, index) =>
      button.setAttribute("aria-pressed", chosen.includes(seeds[index])),
    );
  };
  /** Work until these seeds are no longer shown. */
  const telling = async (work) => {
    const { signal } = drawing;
    try {
      await work(signal);
    } catch (error) {
      if (signal.aborted) return;
      dialog.close(); // the words are on the page
      failed(error);
    }
  };
  const download = async (signal) => {
    const [first, last] = [seeds[0], seeds.at(-1)];
    saveBlob(await draw(use.cell(settings, seeds), signal), `seeds-${first}-to-${last}.png`);
  };
  const acts = {
    "sheet-before": () => begin(inARow(stepped(seeds[0], -count), count)),
    "sheet-after": () => begin(inARow(stepped(seeds.at(-1), 1), count)),
    "sheet-random": () => begin(Array.from({ length: count }, randomSeed)),
    "sheet-download": () => telling(download),
    "sheet-close": () => dialog.close(),
  };
  for (const [id, act] of Object.entries(acts)) element(id).addEventListener("click", act);
  dialog.addEventListener("close", () => drawing.abort());

  return {
    open(name) {
      use = USES[name];
      element("sheet-title").textContent = use.title;
      const [near] = use.chosen(settings);
      seeds = inARow(Math.floor((near ?? settings.seed) / count) * count, count);
      element("sheet-cells").replaceChildren();
      element("sheet-cells").ariaBusy = "true";
      dialog.showModal();
      beginAfterwards();
    },
    show(now) {
      settings = now;
      if (dialog.open) showChosen();
    },
  };
}

/** Draw the cells, a few at a time, from the first one on. */
async function fill(cells, draw, signal) {
  const left = [...cells];
  const work = async () => {
    for (let next; (next = left.shift()); ) {
      const [canvas, settings] = next;
      const image = await createImageBitmap(await draw(settings, signal));
      drawInto(canvas, image);
      image.close();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

function inARow(first, count) {
  return Array.from({ length: count }, (_, index) => stepped(first, index));
}

/** Whether the server draws so many as one grid, as square as it gets. */
function fits(count, { limits, img_width, img_height }) {
  const columns = Math.ceil(Math.sqrt(count));
  const side = Math.max(columns * img_width, Math.ceil(count / columns) * img_height);
  return count <= limits.max_images && side <= limits.max_side;
}
