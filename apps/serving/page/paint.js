/** A hole painted over the photo, and what the generator fills it with. */

import { saveBlob } from "./actions.js";
import { paintOn } from "./brush.js";
import { Work, progressOf } from "./jobs.js";
import { drawInto, emptyThumb } from "./thumbs.js";

const STEPS = 60;
const SAMPLES = 200; // among which it looks for starts

const element = (id) => document.getElementById(id);

/**
 * @param {object} info - of the generator and the limits of the service.
 * @param {Service} service
 * @param {function(string)} use - takes the styles of the proposal that is chosen.
 * @returns {function(string)} opens the dialog with a photo: a PNG in base64.
 */
export function buildPaint(info, service, use) {
  const dialog = element("paint");
  const mask = element("paint-mask");
  const context = mask.getContext("2d", { willReadFrequently: true });
  const steps = Math.min(STEPS, info.limits.job_steps);
  let photo = "";
  let pictures = []; // the proposals, as blobs
  let chosen = 0;
  let erases = false;

  dialog.style.setProperty("--ratio", info.img_width / info.img_height);
  const work = new Work(service, (job) => {
    element("paint-fill").textContent = job ? "Stop" : "Fill";
    element("paint-progress").textContent = progressOf(job);
    element("paint-picture").setAttribute("aria-busy", job !== null);
    showTools();
  });
  const tell = (error) => {
    element("paint-error").textContent = error?.message ?? "";
    element("paint-error").hidden = !error;
  };
  const showTools = () => {
    element("paint-brush").setAttribute("aria-pressed", !erases);
    element("paint-erase").setAttribute("aria-pressed", erases);
    const painted = isPainted(context);
    element("paint-clear").disabled = !painted;
    element("paint-fill").disabled = !painted && !work.running;
  };
  const showProposals = (proposals) => {
    pictures = proposals;
    element("paint-proposals").hidden = element("paint-results").hidden = !pictures.length;
    element("paint-proposals").replaceChildren(...pictures.map(proposalButton));
  };
  const proposalButton = ({ image }, index) => {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "thumb" });
    const canvas = emptyThumb();
    drawInto(canvas, image);
    button.append(canvas);
    button.setAttribute("aria-label", `Proposal ${index + 1}`);
    button.addEventListener("click", () => choose(index));
    return button;
  };
  /** Show a proposal; null: the photo, to be painted on. */
  const choose = (index) => {
    chosen = index;
    const given = index === null ? `data:image/png;base64,${photo}` : pictures[index].image.src;
    element("paint-photo").src = given;
    mask.classList.toggle("seen-through", index !== null);
    element("paint-save").disabled = element("paint-use").disabled = index === null;
    [...element("paint-proposals").children].forEach((button, i) =>
      button.setAttribute("aria-pressed", i === index),
    );
  };
  const fill = async () => {
    if (work.running) return work.stop();
    tell(null);
    choose(null);
    showProposals([]);
    const of = photo;
    const variants = Number(document.querySelector("[name=variants]:checked").value);
    const body = { picture: of, mask: maskOf(mask), variants, steps, seeds_start: SAMPLES };
    try {
      const job = await work.run("inpaint", body);
      const found = await Promise.all(job.w.map((w, index) => proposal(service, job.id, w, index)));
      if (of !== photo || !found.length) return; // another photo, or stopped
      showProposals(found);
      choose(0);
    } catch (error) {
      tell(error);
    }
  };
  const clear = () => {
    context.clearRect(0, 0, mask.width, mask.height);
    choose(null);
    showTools();
  };
  const acts = {
    "paint-brush": () => (erases = false),
    "paint-erase": () => (erases = true),
    "paint-clear": clear,
    "paint-fill": fill,
    "paint-save": () => saveBlob(pictures[chosen].blob, "filled.png"),
    "paint-use": () => {
      use(pictures[chosen].w);
      dialog.close();
    },
    "paint-close": () => dialog.close(),
  };
  for (const [id, act] of Object.entries(acts)) {
    element(id).addEventListener("click", () => {
      act();
      showTools();
    });
  }
  dialog.addEventListener("close", () => work.stop().catch(() => {})); // it ends by itself, too
  mask.addEventListener("pointerdown", () => choose(null));
  const brush = { size: () => element("paint-size").valueAsNumber / 100, erases: () => erases };
  const restart = paintOn(mask, element("paint-ring"), brush, () => {
    choose(null);
    showTools();
  });

  return async (picture) => {
    if (picture !== photo) {
      photo = picture;
      erases = false;
      restart();
      showProposals([]);
      choose(null);
      await element("paint-photo").decode();
      mask.width = element("paint-photo").naturalWidth; // which empties it, too
      mask.height = element("paint-photo").naturalHeight;
    }
    tell(null);
    showTools();
    dialog.showModal();
  };
}

/** A proposal of a job: its picture, whose pixels outside of the hole are the photo's, and styles. */
async function proposal(service, id, w, index) {
  const blob = await service.jobPicture(id, index);
  const image = new Image();
  image.src = await asDataURL(blob);
  await image.decode();
  return { w, blob, image };
}

function asDataURL(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

function isPainted(context) {
  const { data } = context.getImageData(0, 0, context.canvas.width, context.canvas.height);
  return new Uint32Array(data.buffer).some((pixel) => pixel !== 0);
}

/** What is painted as black on white: a PNG in base64. */
function maskOf(canvas) {
  const { width, height } = canvas;
  const copy = Object.assign(document.createElement("canvas"), { width, height });
  const context = copy.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(canvas, 0, 0);
  return copy.toDataURL("image/png").split(",")[1];
}
