/** The walk as a video, which is drawn and encoded elsewhere. */

import { saveBlob } from "./actions.js";
import { choice } from "./controls.js";
import { FPS, frameCount, segments } from "./settings.js";

const element = (id) => document.getElementById(id);

/**
 * @param {function(Settings, string, AbortSignal): Promise<Blob>} film - draws it, of some kind.
 * @param {{say: function(string), failed: function(Error)}} to
 * @returns {{show: function(Settings)}}
 */
export function buildFilm(info, film, { say, failed }) {
  let settings = null;
  let [kind] = info.videos;
  let drawing = null; // {abort, frames} of the video that is on its way

  const show = () => {
    const button = element("walk-save");
    button.textContent = drawing ? "Stop" : "Save as video";
    button.disabled = !drawing && problemOf(settings, info) !== null;
    element("video-hint").textContent = drawing
      ? `Drawing ${drawing.frames} frames. The file comes when all are there.`
      : (problemOf(settings, info) ?? lengthOf(settings, info));
  };
  const save = async () => {
    drawing = { abort: new AbortController(), frames: frameCount(settings) };
    const [walk, as, { signal }] = [settings, kind, drawing.abort];
    show();
    try {
      saveBlob(await film(walk, as, signal), `walk-${walk.keyframes.join("-")}.${as}`);
      say(`The video is there: ${drawing.frames} frames.`);
    } catch (error) {
      if (!signal.aborted) failed(error);
    } finally {
      drawing = null;
      show();
    }
  };
  const kinds = info.videos.map((name) =>
    choice("video", name.toUpperCase(), name === kind, () => (kind = name)),
  );
  element("video-kinds").append(...kinds);
  element("walk-save").addEventListener("click", () => (drawing ? drawing.abort.abort() : save()));

  return {
    show(now) {
      settings = now;
      show();
    },
  };
}

/** Why there can be no video, or null. */
function problemOf(settings, { limits, videos }) {
  if (!videos.length) return "Pictures with so many channels cannot be frames of a video.";
  if (settings.keyframes.length < 2) return "A walk of two seeds or more can be saved as a video.";
  const frames = frameCount(settings);
  if (frames <= limits.max_frames) return null;
  return `Too long to be saved: ${frames} frames, and up to ${limits.max_frames} are drawn.`;
}

/** How long the video is, and which kinds of it are not there. */
function lengthOf(settings, { video_lack }) {
  const seconds = Number((segments(settings) * settings.seconds).toFixed(1));
  return `${frameCount(settings)} frames, ${seconds} s at ${FPS} a second.${video_lack}`;
}
