/** The panel of the directions: a slider for each, of which one set is shown at a time. */

import { choice, slider } from "./controls.js";
import { directionNamed } from "./names.js";
import { directionNames, strengthBounds } from "./settings.js";

const FEW = 5; // of a set that are shown at first

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
    const directions = sets.get(chosen);
    const count = directions.length;
    element("more-directions").hidden = count <= FEW;
    element("more-directions").textContent = all ? `Show ${FEW}` : `Show all ${count}`;
    element("directions-hint").textContent = directions[0].hint;
  };
  const radios = names.map((set) =>
    choice("direction_set", set, set === chosen, () => {
      [chosen, picked] = [set, true];
      list();
    }),
  );
  for (const [set, directions] of sets) {
    directions.forEach(({ name, words }, index) => {
      const setTo = (strength) => change(moved(name, strength));
      const control = slider(name, words, strengthBounds(name, info), setTo);
      control.row.title = name; // as the API has it
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

/** The directions by set. */
function setsOf(names) {
  const sets = new Map();
  for (const name of names) {
    const { set, words, hint } = directionNamed(name);
    if (!sets.has(set)) sets.set(set, []);
    sets.get(set).push({ name, words, hint });
  }
  return sets;
}

/** The change of one direction's strength; 0 takes it out. */
function moved(name, strength) {
  return ({ directions: { [name]: _, ...others } }) => ({
    directions: strength ? { ...others, [name]: strength } : others,
  });
}
