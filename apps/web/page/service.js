/**
 * The generator in this browser, with the methods of the service that `stylert serve` has: the
 * page is the same for both.
 */

import { loadJson } from "./loading.js";
import { warnOfMemory } from "./memory.js";
import { FPS, frameCount } from "./settings.js";

const FOLDER = new URL("../bundle/", import.meta.url).href;
const RUNTIME = new URL("../runtime/", import.meta.url).href;
const LOST = "The part of the page that draws cannot be loaded: page/worker.js, or another file in page/, is missing on this server or cut off. All files that 'stylert web' wrote must be there.";
const RESTED_MS = 500; // without a picture: what is not urgent is in nobody's way then

/** No server asks for a token here; the page knows the name. */
export class TokenWanted extends Error {}

export class Service {
  #worker = null;
  #asked = new Map(); // {resolve, reject} by id
  #last = 0;
  #say = () => {};
  #kept = false; // or soon
  #resting = 0; // the timer that then keeps the files

  /**
   * Load the generator.
   *
   * @param {function(string)} say - is told how far it is, and later what else happens.
   * @param {function(string)} warn - is told what should be seen all the time.
   * @returns {Promise<object>} what it is and knows.
   */
  async info(say, warn) {
    this.#say = say;
    checkBrowser();
    const info = await loadJson(`${FOLDER}info.json`);
    warn(warnOfMemory(info.memory));
    this.#worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#heard(data);
    this.#worker.onerror = () => this.#failed(new Error(LOST));
    const backend = new URLSearchParams(location.search).get("backend");
    info.backend = await this.#ask({ open: { info, folder: FOLDER, runtime: RUNTIME, backend } });
    say("");
    const videos = "VideoEncoder" in window && info.img_channels === 3 ? ["webm", "zip"] : ["zip"];
    return { ...info, videos, video_lack: "" };
  }

  /** @returns {Promise<Blob>} a PNG. */
  async draw(settings, info, signal) {
    const picture = await this.#ask({ draw: settings }, signal);
    clearTimeout(this.#resting);
    if (!this.#kept) this.#resting = setTimeout(() => this.#keep(), RESTED_MS);
    return picture;
  }

  /** @returns {Promise<Blob>} the walk of these settings: a video, or its frames as PNG files. */
  film(settings, format, info, signal) {
    const count = frameCount(settings);
    const end = settings.loop ? count : count - 1; // the last frame of a loop is before its first
    const frames = Array.from({ length: count }, (_, index) => ({ ...settings, t: index / end }));
    return this.#ask({ film: { frames, format, fps: FPS } }, signal);
  }

  #ask(request, signal) {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      signal?.addEventListener("abort", () => {
        this.#worker.postMessage({ cancel: id });
        this.#asked.delete(id);
        reject(signal.reason);
      });
      this.#asked.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...request });
    });
  }

  /** Keep all files, so that the next visit needs no network. */
  #keep() {
    this.#kept = true;
    navigator.serviceWorker?.register(new URL("../offline.js", import.meta.url)).catch(() => {
      // A browser that keeps nothing, as in a private window, loads them again.
    });
  }

  #heard({ id, result, error, say }) {
    if (say !== undefined) this.#say(say);
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    if (error !== undefined) asked?.reject(new Error(error));
    else asked?.resolve(result);
  }

  #failed(error) {
    for (const { reject } of this.#asked.values()) reject(error);
    this.#asked.clear();
  }
}

/** Say what the page needs and this browser, or this address, has not. */
function checkBrowser() {
  if (!("WebAssembly" in globalThis)) {
    throw new Error("This browser has no WebAssembly, or it is switched off: the generator cannot run in it.");
  }
  if (!isSecureContext) {
    throw new Error("This page needs an address that begins with https:// (or localhost).");
  }
}
