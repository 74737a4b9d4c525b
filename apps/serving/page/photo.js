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
  let sent = ""; // the newest photo, in base64
  let settings = null;
  element("photo-panel").hidden = false;

  const keep = (w) => change({ photo: photos.add(w), t: null });
  const take = async (source) => {
    try {
      say("Looking at the photo");
      sent = await encoded(source, info);
      const { w } = await service.ask("invert", { picture: sent });
      keep(w);
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
      const job = await work.run("project", { picture: sent, steps, start: photos.get(settings.photo) });
      if (job.error) failed(new Error(job.error)); // it ended early
      if (job.w.length) keep(job.w[0]);
    } catch (error) {
      failed(error);
    }
  };
  const openPaint = buildPaint(info, service, keep);

  element("photo-file").accept = KINDS.join();
  element("photo-choose").addEventListener("click", () => element("photo-file").click());
  element("photo-file").addEventListener("change", ({ target }) => {
    if (target.files.length) take(target.files[0]);
    target.value = ""; // so that the same one can be chosen again
  });
  buildCamera(element("photo-file"), take, failed);
  element("photo-improve").addEventListener("click", improve);
  element("photo-paint").addEventListener("click", () => openPaint(sent));
  element("photo-save").addEventListener("click", () =>
    saveBlob(npzOf(photos.get(settings.photo), info), stylesFile(settings.photo)),
  );
  element("mix-photo").addEventListener("click", () =>
    change({ mix_photo: settings.mix_photo ? null : (settings.photo ?? photos.newest) }),
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
    const { mix_photo } = now;
    const photo = photos.textOf(now.photo) ? null : now.photo;
    element("photo-improve").hidden = !info.photos.project || !sent;
    element("photo-improve").disabled = !photo && !work.running;
    element("photo-paint").hidden = !info.photos.inpaint || !sent;
    element("photo-save").disabled = element("photo-clear").disabled = !photo;
    element("photo-count").textContent = photo ? "in place of the seed" : "";
    const other = mix_photo ?? now.photo ?? photos.newest;
    element("mix-photo").hidden = !other;
    element("mix-photo").setAttribute("aria-pressed", mix_photo !== null);
    element("mix-photo").textContent = other && `Of ${sourceName(other)}`;
  };
}

/** What the generator draws of a file or a video, from its middle: as a PNG in base64. */
async function encoded(source, { img_width, img_height }) {
  let picture;
  try {
    picture = await createImageBitmap(source, { imageOrientation: "from-image" });
  } catch {
    throw new Error("This file is no picture that the browser knows. Choose a .png, .jpg or .webp file.");
  }
  const scale = Math.min(picture.width / img_width, picture.height / img_height);
  const [wide, high] = [img_width * scale, img_height * scale];
  const shrink = Math.min(1, LARGEST / Math.max(wide, high));
  const canvas = Object.assign(document.createElement("canvas"), {
    width: Math.max(1, Math.round(wide * shrink)),
    height: Math.max(1, Math.round(high * shrink)),
  });
  const [left, top] = [(picture.width - wide) / 2, (picture.height - high) / 2];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, left, top, wide, high, 0, 0, canvas.width, canvas.height);
  picture.close();
  return canvas.toDataURL("image/png").split(",")[1];
}
