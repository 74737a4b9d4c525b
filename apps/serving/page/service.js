/** The HTTP service as the page sees it: what it knows of the generator, and its pictures. */

import { photos } from "./photo_styles.js";
import { FPS, framesBetween, hasMotion, isWalking } from "./settings.js";

const TOKEN = "stylert-token"; // kept until the tab closes
const BUSY_TRIES = 8;
const OF_PYAV = ["mp4", "webm"];

/** The server wants a token, or another one. */
export class TokenWanted extends Error {}

export class Service {
  #token = remembered();

  /** Use this token from now on. */
  setToken(token) {
    this.#token = token;
    try {
      sessionStorage.setItem(TOKEN, token);
    } catch {
      // No storage in this browser: it is asked for again after a reload.
    }
  }

  /** What the generator is and knows. */
  async info() {
    const info = await (await this.#fetch("info")).json();
    const missing = OF_PYAV.filter((name) => !info.videos.includes(name));
    const lack = missing.length ? " MP4 and WebM need PyAV on the server: pip install av." : "";
    return { ...info, video_lack: lack };
  }

  /**
   * @param {import("./settings.js").Settings} settings
   * @param {AbortSignal} signal
   * @returns {Promise<Blob>} a PNG.
   */
  async draw(settings, info, signal) {
    const [path, body] = requestOf(settings, info);
    return (await this.#fetch(path, { method: "POST", body: JSON.stringify(body), signal })).blob();
  }

  /**
   * @param {string} format - 'mp4', 'webm', 'webp' or 'gif'.
   * @returns {Promise<Blob>} the walk of these settings, all of it.
   */
  async film(settings, format, info, signal) {
    const [, { t, format: png, ...walk }] = requestOf({ ...settings, t: 0 }, info);
    const body = { walk: { ...walk, frames: framesBetween(settings) }, format, fps: FPS };
    return (await this.#fetch("video", { method: "POST", body: JSON.stringify(body), signal })).blob();
  }

  /**
   * @param {string} path - 'invert', or what starts a job: 'project', 'inpaint' or 'search'.
   * @returns {Promise<object>} what the service answers.
   */
  async ask(path, body) {
    return (await this.#fetch(path, { method: "POST", body: JSON.stringify(body) })).json();
  }

  /** How far a job is. */
  async job(id) {
    return (await this.#fetch(`jobs/${id}`)).json();
  }

  /** What a job draws now, or one of its results. */
  async jobPicture(id, index) {
    return (await this.#fetch(`jobs/${id}/picture?index=${index}`)).blob();
  }

  /** End a job; what it has found stays. */
  cancel(id) {
    return this.#fetch(`jobs/${id}`, { method: "DELETE" });
  }

  async #fetch(path, options = {}) {
    const headers = { "Content-Type": "application/json" };
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    for (let tries = 1; ; tries++) {
      const answer = await reached(path, { ...options, headers });
      if (answer.ok) return answer;
      if (answer.status === 429 && tries < BUSY_TRIES) {
        await pause(Number(answer.headers.get("Retry-After")) || 0.25 * tries, options.signal);
        continue;
      }
      const reason = await reasonOf(answer);
      throw answer.status === 401 ? new TokenWanted(reason) : new Error(reason);
    }
  }
}

/** The call that draws these settings, and no other: its path and its JSON. */
function requestOf(settings, info) {
  const walking = isWalking(settings);
  const sent = (source) => photos.get(source) ?? source;
  const body = {
    seeds: walking ? settings.keyframes.map(sent) : sent(settings.photo ?? settings.seed),
    truncation_psi: settings.psi,
    noise_mode: settings.noise_mode,
    format: "png", // the pixels as they are
  };
  if (settings.cutoff < info.num_ws) body.truncation_cutoff = settings.cutoff;
  if (info.c_dim) body.class_idx = settings.class_idx;
  if (settings.noise_mode === "seeded") body.noise_seed = settings.noise_seed;
  if (hasMotion(settings, info)) {
    body.translate = [settings.x, settings.y];
    body.rotate = settings.rotate;
  }
  if (walking) Object.assign(body, { t: settings.t, curve: settings.curve, loop: settings.loop });
  const moved = Object.keys(settings.directions).length > 0;
  if (!walking && !settings.layers.length && !moved) return ["generate", body];
  body.directions = settings.directions;
  if (settings.layers.length) {
    body.mix_seeds = sent(settings.mix_photo ?? settings.mix_seed);
    body.mix_layers = settings.layers;
  }
  return [walking ? "interpolate" : "edit", body];
}

async function reached(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (options.signal?.aborted) throw options.signal.reason;
    throw new Error("The server cannot be reached. Is it still running?");
  }
}

/** Why the server refused, in its own words where it has some. */
async function reasonOf(answer) {
  try {
    const { error } = await answer.json();
    if (typeof error === "string") return error;
  } catch {
    // Not from the service: a proxy's page, say.
  }
  return `The server answered ${answer.status} ${answer.statusText}.`;
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    setTimeout(resolve, seconds * 1000);
  });
}

function remembered() {
  try {
    return sessionStorage.getItem(TOKEN);
  } catch {
    return null;
  }
}
