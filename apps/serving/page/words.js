/** A text in the place of the seed: the styles that it finds, which all controls then act on. */

import { saveBlob } from "./actions.js";
import { Work, progressOf } from "./jobs.js";
import { npzOf } from "./npz.js";
import { photos } from "./photo_styles.js";
import { stylesFile } from "./python.js";

const element = (id) => document.getElementById(id);

/**
 * @param {object} info - with `words`: whether the service searches; without, nothing.
 * @param {Service} service
 * @param {{change: function(object), failed: function(Error)}} to
 * @returns {function(Settings)} shows settings in the panel.
 */
export function buildWords(info, service, { change, failed }) {
  if (!info.words) return () => {};
  const [text, find, save, clear] = ["text", "find", "save", "clear"].map((name) => element(`words-${name}`));
  let settings = null;
  element("words-panel").hidden = false;

  const work = new Work(service, (job) => {
    find.textContent = job ? "Stop" : "Find";
    element("words-progress").textContent = progressOf(job);
  });
  const search = async () => {
    const wanted = text.value.trim();
    try {
      if (work.running) return await work.stop();
      if (!wanted) return text.focus();
      const found = await work.run("search", { text: wanted, truncation_psi: settings.psi });
      if (found.error) failed(new Error(found.error));
      if (found.w.length) change({ photo: photos.add(found.w[0], { text: wanted }), t: null });
      element("words-progress").textContent = found.notes.join(" ");
    } catch (error) {
      failed(error);
    }
  };

  find.addEventListener("click", search);
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing && !work.running) search();
  });
  save.addEventListener("click", () => saveBlob(npzOf(photos.get(settings.photo), info), stylesFile(settings.photo)));
  clear.addEventListener("click", () => change({ photo: null }));

  return (now) => {
    settings = now;
    const shown = photos.textOf(now.photo);
    save.disabled = clear.disabled = !shown;
    element("words-count").textContent = shown ? "in place of the seed" : "";
  };
}
