/** A photo of the user's in the place of the seed: its styles, which all controls then act on. */

import { photos } from "./photo_styles.js";

const LARGEST = 1024; // pixels of a side that are sent
const STEPS = 100; // of an improvement
const LOOK_MS = 400; // between two looks at it
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
  let job = null; // {id}: the improvement that runs
  let shown = null;
  element("photo-panel").hidden = false;

  const take = async (file) => {
    try {
      say("Looking at the photo");
      sent = await encoded(file, info);
      const { w } = await service.photo("invert", { picture: sent });
      change({ photo: photos.add(w), t: null });
    } catch (error) {
      say("");
      failed(error);
    }
  };
  const improve = async () => {
    if (job) return service.cancel(job.id);
    try {
      const start = photos.get(shown);
      job = await service.photo("project", { picture: sent, steps: STEPS, start });
      showJob();
      while (["waiting", "running"].includes(job.state)) {
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        job = await service.job(job.id);
        showJob();
      }
      if (job.error) failed(new Error(job.error));
      if (job.w.length) change({ photo: photos.add(job.w[0]), t: null });
    } catch (error) {
      failed(error);
    }
    job = null;
    showJob();
  };
  const showJob = () => {
    element("photo-improve").textContent = job ? "Stop" : "Improve";
    element("photo-progress").textContent = job ? `${job.stage || "waiting"} ${job.step}/${job.steps}` : "";
  };

  element("photo-file").accept = KINDS.join();
  element("photo-choose").addEventListener("click", () => element("photo-file").click());
  element("photo-file").addEventListener("change", ({ target }) => {
    if (target.files.length) take(target.files[0]);
    target.value = ""; // so that the same one can be chosen again
  });
  element("photo-improve").addEventListener("click", improve);
  element("photo-clear").addEventListener("click", () => change({ photo: null }));
  const frame = element("frame");
  frame.addEventListener("dragover", (event) => event.preventDefault());
  frame.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });

  return ({ photo }) => {
    shown = photo;
    element("photo-improve").hidden = !info.photos.project || !sent;
    element("photo-improve").disabled = !photo && !job;
    element("photo-clear").disabled = !photo;
    element("photo-count").textContent = photo ? "in place of the seed" : "";
  };
}

/** The part of a photo that the generator draws, from the middle, as a PNG in base64. */
async function encoded(file, { img_width, img_height }) {
  let picture;
  try {
    picture = await createImageBitmap(file, { imageOrientation: "from-image" });
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
