/** The panel of the directions: a slider for each, of which one set is shown at a time. */

import { choice, slider } from "./controls.js";
import { directionNames, strengthBounds } from "./settings.js";

const FEW = 5; // of a set that are shown at first
const HINTS = {
  pca: "What varies most in w, by standard deviations. Found when it is first used.",
  sefa: "What the weights of the layers answer to most, the strongest first.",
};

const element = (id) => document.getElementById(id);

/**
 * @param {function(function(Settings): object)} change - takes what makes new settings of the old.
 * @returns {function(Settings)} shows settings in the panel.
 */
export function directionsPanel(info, change) {
  const sets = setsOf(directionNames(info));
  const names = [...sets.keys()];
  const controls = []; // {name, set, index, row, show}
  let chosen = names[0];
  let picked = false; // by hand
  let all = false;

  const list = () => {
    for (const { row, set, index } of controls) row.hidden = set !== chosen || (!all && index >= FEW);
    const count = sets.get(chosen).length;
    element("more-directions").hidden = count <= FEW;
    element("more-directions").textContent = all ? `Show ${FEW}` : `Show all ${count}`;
    element("directions-hint").textContent = HINTS[chosen.split("_")[0]] ?? "";
  };
  const radios = names.map((set) =>
    choice("direction_set", titleOf(set), set === chosen, () => {
      [chosen, picked] = [set, true];
      list();
    }),
  );
  for (const [set, directions] of sets) {
    directions.forEach(({ name, title }, index) => {
      const setTo = (strength) => change(moved(name, strength));
      const control = slider(name, title, strengthBounds(name, info), setTo, name);
      control.row.classList.toggle("long", title === name);
      controls.push({ ...control, name, set, index });
    });
  }
  element("direction-sets").append(...radios);
  element("directions").append(...controls.map(({ row }) => row));
  element("more-directions").addEventListener("click", () => {
    all = !all;
    list();
  });
  element("reset-directions").addEventListener("click", () => change(() => ({ directions: {} })));
  list();

  return ({ directions }) => {
    for (const { name, show } of controls) show(directions[name] ?? 0);
    const asked = controls.find(({ name }) => name in directions);
    if (asked && !picked && asked.set !== chosen) {
      chosen = asked.set; // as an address asks for it
      radios[names.indexOf(chosen)].firstChild.checked = true;
      list();
    }
    const count = Object.keys(directions).length;
    element("directions-count").textContent = count ? `${count} moved` : "";
    element("reset-directions").disabled = count === 0;
  };
}

/**
 * 'sefa_all_3' belongs to the set 'sefa_all', and 'pca:3' to 'pca'; a name without a number is
 * alone in its set.
 */
function setsOf(names) {
  const sets = new Map();
  for (const name of names) {
    const [, set, number] = /^(.+)[_:](\d+)$/.exec(name) ?? [null, name, ""];
    if (!sets.has(set)) sets.set(set, []);
    sets.get(set).push({ name, title: number || name });
  }
  return sets;
}

/** A set as people call it. */
function titleOf(set) {
  return set === "pca" ? "PCA" : set.replace(/^sefa_/, "SeFa ");
}

/** The change of one direction's strength; 0 takes it out. */
function moved(name, strength) {
  return ({ directions: { [name]: _, ...others } }) => ({
    directions: strength ? { ...others, [name]: strength } : others,
  });
}
