/**
 * The generator in a thread of its own, so that the page stays alive while it draws.
 *
 * It takes {id, open} once, then {id, draw: Settings} and {id, film: {frames, format, fps}}, and
 * {cancel: id}; it answers {id, result} or {id, error}, and in between {say: text}. One is worked
 * on at a time, in their order.
 */

import { Arrays } from "./arrays.js";
import { Drawing } from "./drawing.js";
import { chooseBackend, Graphs } from "./graphs.js";
import { loadFiles } from "./loading.js";
import { joinGrid } from "./grid.js";
import { inWords } from "./memory.js";
import { encodePng } from "./png.js";
import { encodeFilm } from "./films.js";
import { unpackWeights } from "./weights.js";

const waiting = [];
const cancelled = new Set();
let working = false;
let open = null; // {info, arrays, models, how, drawing}

onmessage = ({ data }) => {
  if ("cancel" in data) cancelled.add(data.cancel);
  else waiting.push(data);
  if (!working) workOff();
};

async function workOff() {
  working = true;
  for (let request; (request = waiting.shift()); ) {
    const { id } = request;
    if (!cancelled.delete(id)) {
      try {
        postMessage({ id, result: await work(request) });
      } catch (error) {
        postMessage({ id, error: inWords(error) });
      }
    }
  }
  cancelled.clear();
  working = false;
}

function work(request) {
  if (request.open) return openBundle(request.open);
  if (request.draw) return drawPicture(request.draw);
  const { frames, format, fps } = request.film;
  return encodeFilm(drawFrames(request.id, frames), format, fps);
}

/** Load the files, and open the graphs. */
async function openBundle({ info, folder, runtime, backend }) {
  const urls = Object.fromEntries(Object.keys(info.files).map((name) => [name, folder + name]));
  const expected = Object.entries(info.files).map(([name, file]) => [urls[name], file]);
  const files = await loadFiles(Object.fromEntries(expected), say);
  const arrays = new Arrays(files[urls["arrays.bin"]], info.arrays);
  const models = {
    mapping: { model: files[urls["mapping.onnx"]] },
    synthesis: {
      model: files[urls["synthesis.onnx"]],
      weights: unpackWeights(files[urls["weights.bin"]], info.weights),
    },
  };
  const pixels = info.img_width * info.img_height;
  open = { info, arrays, models, how: { runtime, pixels, backend: await chooseBackend(backend) } };
  return start();
}

async function start() {
  const { info, arrays, models, how } = open;
  say("Opening the generator");
  const graphs = await Graphs.open(models, how);
  open.drawing = new Drawing(info, arrays, graphs);
  return graphs.choice;
}

/** The picture of settings as PNG; of several seeds, a grid of them. */
async function drawPicture(settings) {
  if (!Array.isArray(settings.seed) && !Array.isArray(settings.mix_seed)) {
    return encodePng(await draw(settings));
  }
  const several = Array.isArray(settings.seed) ? "seed" : "mix_seed";
  const pictures = [];
  for (const seed of settings[several]) pictures.push(await draw({ ...settings, [several]: seed }));
  return encodePng(joinGrid(pictures));
}

async function* drawFrames(id, frames) {
  for (const settings of frames) {
    if (cancelled.has(id)) throw new Error("stopped");
    yield draw(settings);
    await pause(); // so that a stop is heard
  }
}

/** Draw, on the processor if the graphics card has gone. */
async function draw(settings) {
  try {
    return await open.drawing.draw(settings);
  } catch (error) {
    if (open.how.backend !== "webgpu") throw error;
    open.how.backend = "wasm";
    await start();
    postMessage({ say: "The graphics card was lost. The processor draws from now on." });
    return open.drawing.draw(settings);
  }
}

function say(text) {
  postMessage({ say: text });
}

function pause() {
  return new Promise((resolve) => setTimeout(resolve));
}
