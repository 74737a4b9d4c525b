/** The first picture: of a few seeds the one with most to see, as each network has murky ones. */

import { defaults } from "./settings.js";

const SEEDS = 8;
const PATIENCE_MS = 400; // then the best so far is shown: a slow server draws one
const SIDE = 32; // pixels that are looked at

/**
 * @param {function(Settings): Promise<{settings: Settings, url: string, image: HTMLImageElement}>}
 *   draw
 * @param {function(): boolean} wanted - whether it still is.
 * @returns {Promise<object>} what `draw` gave for the picture; each seed is of another class.
 */
export async function firstPicture(info, draw, wanted) {
  const started = performance.now();
  let best = null;
  for (let seed = 0; seed < SEEDS && wanted(); seed++) {
    if (performance.now() - started > PATIENCE_MS) break;
    const class_idx = info.c_dim ? seed % info.c_dim : null;
    const picture = await draw({ ...defaults(info), seed, class_idx });
    const detail = detailOf(picture.image);
    const [better, worse] = detail > (best?.detail ?? -1) ? [picture, best] : [best, picture];
    if (worse) URL.revokeObjectURL(worse.url);
    best = better === best ? best : { ...better, detail };
  }
  return best;
}

/** How much neighbours differ, over the picture: a murky one has less of it. */
function detailOf(image) {
  const canvas = Object.assign(document.createElement("canvas"), { width: SIDE, height: SIDE });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0, SIDE, SIDE);
  const { data } = context.getImageData(0, 0, SIDE, SIDE);
  let sum = 0;
  for (let i = 4; i < data.length; i++) {
    if (i % 4 !== 3) sum += Math.abs(data[i] - data[i - 4]); // not of alpha
  }
  return sum;
}
