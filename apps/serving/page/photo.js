/** A photo of the user's in the place of the seed: its styles, which all controls then act on. */

import { saveBlob } from "./actions.js";
import { buildCamera } from "./camera.js";
import { Work, progressOf } from "./jobs.js";
import { sourceName } from "./names.js";
import { npzOf } from "./npz.js";
import { buildPaint } from "./paint.js";
import { photos } from "./photo_styles.js";
import { stylesFile } from "./python.js";
import { drawInto } from "./thumbs.js";

const LARGEST = 1024; // pixels of a side that are sent
const LARGEST_WHOLE = 2048; // the same, where a face is cut out of it
const STEPS = 100; // of an improvement
const KINDS = ["image/png", "image/jpeg", "image/webp"];

const element = (id) => document.getElementById(id);

/**
 * @param {object} info - with `photos`: what the service can do with them; without, nothing.
 * @param {Service} service
 * @param {{change: function(object), say: function(string), failed: function(Error)}} to
 * @returns {function(Settings)} shows settings in the panel.
 */
export function buildPhoto(info, service, { change, say, failed }) {
  if (!info.photos?.invert) return () => {};
  let settings = null;
  element("photo-panel").hidden = false;
  element("photo-face").hidden = !info.photos.align;

  const keep = (w, picture) => change({ photo: photos.add(w, { picture }), t: null });
  const take = async (source) => {
    try {
      say("Looking at the photo");
      const align = element("photo-align").checked;
      const sent = align ? await whole(source) : await encoded(source, info);
      const { w, picture } = await service.ask("invert", { picture: sent, ...(align && { align }) });
      keep(w, picture ?? sent); // the face that was cut out
    } catch (error) {
      say("");
      failed(error);
    }
  };
  const work = new Work(service, (job) => {
    element("photo-improve").textContent = job ? "Stop" : "Improve";
    element("photo-progress").textContent = progressOf(job);
    if (job?.pictures) showNow(job.id);
    else element("photo-now").hidden = true;
  });
  const showNow = async (id) => {
    try {
      const image = await createImageBitmap(await service.jobPicture(id, 0));
      element("photo-now").hidden = !work.running;
      drawInto(element("photo-now"), image);
    } catch {
      // If the server has a problem, the next look at the job tells.
    }
  };
  const improve = async () => {
    if (work.running) return work.stop();
    try {
      const steps = Math.min(STEPS, info.limits.job_steps);
      const [picture, start] = [photos.pictureOf(settings.photo), photos.get(settings.photo)];
      const job = await work.run("project", { picture, steps, start });
      if (job.error) failed(new Error(job.error)); // it ended early
      if (job.w.length) keep(job.w[0], picture);
    } catch (error) {
      failed(error);
    }
  };
  const painted = () => photos.pictureOf(settings.photo) ?? photos.newestPicture;
  const openPaint = buildPaint(info, service, (w) => keep(w, painted()));

  element("photo-file").accept = KINDS.join();
  element("photo-choose").addEventListener("click", () => element("photo-file").click());
  element("photo-file").addEventListener("change", ({ target }) => {
    if (target.files.length) take(target.files[0]);
    target.value = ""; // so that the same one can be chosen again
  });
  buildCamera(element("photo-file"), take, failed);
  element("photo-improve").addEventListener("click", improve);
  element("photo-paint").addEventListener("click", () => openPaint(painted()));
  element("photo-save").addEventListener("click", () =>
    saveBlob(npzOf(photos.get(settings.photo), info), stylesFile(settings.photo)),
  );
  element("photo-clear").addEventListener("click", () => change({ photo: null }));
  const frame = element("frame");
  frame.addEventListener("dragover", (event) => event.preventDefault());
  frame.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });

  return (now) => {
    settings = now;
    const photo = photos.textOf(now.photo) ? null : now.photo;
    const lost = photo !== null && !photos.pictureOf(photo);
    element("photo-lost").hidden = !lost;
    element("photo-improve").hidden = !info.photos.project || lost || !photos.newestPicture;
    element("photo-improve").disabled = !photo && !work.running;
    element("photo-paint").hidden = !info.photos.inpaint || lost || !photos.newestPicture;
    element("photo-save").disabled = element("photo-clear").disabled = !photo;
    element("photo-count").textContent = photo ? "in place of the seed" : "";
  };
}

/**
 * The button that takes a photo or a text for the other seed of a mix.
 *
 * @param {function(object)} change
 * @returns {function(Settings)} shows settings on it.
 */
export function buildMixPhoto(change) {
  const button = element("mix-photo");
  let settings = null;
  button.addEventListener("click", () =>
    change({ mix_photo: settings.mix_photo ? null : (settings.photo ?? photos.newest) }),
  );
  return (now) => {
    settings = now;
    const other = now.mix_photo ?? now.photo ?? photos.newest;
    button.hidden = !other;
    button.setAttribute("aria-pressed", now.mix_photo !== null);
    button.textContent = other && `Of ${sourceName(other)}`;
  };
}

async function opened(source) {
  try {
    return await createImageBitmap(source, { imageOrientation: "from-image" });
  } catch {
    throw new Error("This file is no picture that the browser knows. Choose a .png, .jpg or .webp file.");
  }
}

/** All of a file or a video, in which a face is to be found: as a JPEG in base64. */
async function whole(source) {
  const picture = await opened(source);
  const shrink = Math.min(1, LARGEST_WHOLE / Math.max(picture.width, picture.height));
  const canvas = drawn(picture, [0, 0, picture.width, picture.height], shrink);
  return canvas.toDataURL("image/jpeg", 0.95).split(",")[1];
}

/** What the generator draws of a file or a video, from its middle: as a PNG in base64. */
async function encoded(source, { img_width, img_height }) {
  const picture = await opened(source);
  const scale = Math.min(picture.width / img_width, picture.height / img_height);
  const [wide, high] = [img_width * scale, img_height * scale];
  const shrink = Math.min(1, LARGEST / Math.max(wide, high));
  const [left, top] = [(picture.width - wide) / 2, (picture.height - high) / 2];
  return drawn(picture, [left, top, wide, high], shrink).toDataURL("image/png").split(",")[1];
}

/** A part of a picture, made smaller, on a canvas; the picture is closed. */
function drawn(picture, [left, top, wide, high], shrink) {
  const canvas = Object.assign(document.createElement("canvas"), {
    width: Math.max(1, Math.round(wide * shrink)),
    height: Math.max(1, Math.round(high * shrink)),
  });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, left, top, wide, high, 0, 0, canvas.width, canvas.height);
  picture.close();
  return canvas;
}
