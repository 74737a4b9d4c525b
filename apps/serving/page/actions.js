/** What the buttons and keys need of the browser: its clipboard, its downloads, its keyboard. */

const WRITTEN = "input:not([type=range], [type=radio], [type=checkbox])";
const KEPT_MS = 10_000; // until the browser has it for sure
const SHORTCUTS = "stylert-shortcuts";

const element = (id) => document.getElementById(id);

/** Put text on the clipboard; false where the browser does not let a page do so. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages that came over plain HTTP from another machine have no clipboard but the old one.
  }
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "unseen";
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return copied;
}

/** Save a file, as the browser saves files. */
export function saveAs(url, name) {
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
}

/** Save what came from the server. */
export function saveBlob(blob, name) {
  const url = URL.createObjectURL(blob);
  saveAs(url, name);
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}

/**
 * Keys for the whole page, but not while text is written.
 *
 * @param {Object<string, function()>} keys - what a key does: 'z', 'ctrl+z', 'ctrl+shift+z'.
 */
export function listenToKeys(keys) {
  const box = element("shortcuts");
  let enabled = null; // is read when it is first needed: the browser's storage may be slow to open
  const isEnabled = () => (enabled ??= stored() !== "off");
  element("keys-panel").addEventListener("toggle", () => (box.checked = isEnabled()));
  box.addEventListener("change", () => store((enabled = box.checked) ? "on" : "off"));
  document.addEventListener("keydown", (event) => {
    const writing = event.target.matches?.(WRITTEN);
    const act = keys[nameOf(event)];
    if (!act || writing || document.querySelector("dialog[open]") || event.altKey || event.isComposing || !isEnabled()) return;
    event.preventDefault();
    act();
  });
}

function nameOf({ key, ctrlKey, metaKey, shiftKey }) {
  const held = ctrlKey || metaKey ? (shiftKey ? "ctrl+shift+" : "ctrl+") : "";
  return held + key.toLowerCase();
}

function stored() {
  try {
    return localStorage.getItem(SHORTCUTS);
  } catch {
    return null; // no storage in this browser
  }
}

function store(value) {
  try {
    localStorage.setItem(SHORTCUTS, value);
  } catch {
    // The choice holds until the page is left.
  }
}
