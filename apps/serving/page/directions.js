/** The panel of the directions: a slider for each of one set, made when it is first shown. */

import { choice, slider } from "./controls.js";
import { directionNamed } from "./names.js";
import { rest } from "./rest.js";
import { directionNames, strengthBounds } from "./settings.js";

const FEW = 5; // of a set that are shown at first, and made at once

const element = (id) => document.getElementById(id);

/**
 * @param {function(function(Settings): object)} change - takes what makes new settings of the old.
 * @returns {function(Settings)} shows settings in the panel.
 */
export function directionsPanel(info, change) {
  const sets = setsOf(directionNames(info));
  const names = [...sets.keys()];
  const rows = new Map(); // {row, show} by name: of those that were seen
  let strengths = {};
  let chosen = names[0];
  let picked = false; // by hand
  let all = false;
  let listed = 0; // how often

  /** Show the rows of the set. New ones come a few at a time: all at once hold the page up. */
  const list = async () => {
    const since = ++listed;
    const directions = sets.get(chosen);
    const count = directions.length;
    element("more-directions").hidden = count <= FEW;
    element("more-directions").textContent = all ? `Show ${FEW}` : `Show all ${count}`;
    element("directions-hint").textContent = directions[0].hint;
    const shown = directions.slice(0, all ? count : FEW);
    const visible = new Set(shown.map(({ name }) => name));
    for (const [name, { row }] of rows) row.hidden = !visible.has(name);
    const missing = shown.filter(({ name }) => !rows.has(name));
    while (missing.length) {
      element("directions").append(...missing.splice(0, FEW).map(make));
      if (missing.length) await rest();
      if (since !== listed) return; // others are shown by now
    }
  };
  const make = ({ name, words }) => {
    const setTo = (strength) => change(moved(name, strength));
    const control = slider(name, words, strengthBounds(name, info), setTo);
    control.row.title = name; // as the API has it
    control.show(strengths[name] ?? 0);
    rows.set(name, control);
    return control.row;
  };
  const radios = names.map((set) =>
    choice("direction_set", set, set === chosen, () => {
      [chosen, picked] = [set, true];
      list();
    }),
  );
  element("direction-sets").append(...radios);
  element("more-directions").addEventListener("click", () => {
    all = !all;
    list();
  });
  element("reset-directions").addEventListener("click", () => change(() => ({ directions: {} })));
  list();

  return ({ directions }) => {
    strengths = directions;
    for (const [name, { show }] of rows) show(directions[name] ?? 0);
    const asked = names.find((set) => sets.get(set).some(({ name }) => name in directions));
    if (asked && !picked && asked !== chosen) {
      chosen = asked; // as an address asks for it
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
