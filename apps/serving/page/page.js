/** The page: it joins the settings, the controls, the address and the picture. */

import { copyText, listenToKeys, saveAs } from "./actions.js";
import { randomSeed, stepped } from "./controls.js";
import { buildFilm } from "./film.js";
import { firstPicture } from "./first.js";
import { lookUpFonts } from "./fonts.js";
import { Newest } from "./newest.js";
import { className, sourceName } from "./names.js";
import { buildPanels } from "./panels.js";
import { buildMixPhoto, buildPhoto } from "./photo.js";
import { photos } from "./photo_styles.js";
import { pythonOf } from "./python.js";
import { nextFrame, rest } from "./rest.js";
import { Service, TokenWanted } from "./service.js";
import { buildSheet } from "./sheet.js";
import { alone, defaults, fromHash, inWords, isWalking, toHash } from "./settings.js";
import { Trail } from "./trail.js";
import { buildWords } from "./words.js";

const SMALL = 128; // pixels: below, they are shown as squares
const SAID_MS = 6000; // then the words leave the picture
const FAMILIES = { stylegan1: "StyleGAN", stylegan2: "StyleGAN2", stylegan3: "StyleGAN3" };

const element = (id) => document.getElementById(id);
const service = new Service();
const trail = new Trail((undo, redo) => {
  element("undo").disabled = !undo;
  element("redo").disabled = !redo;
});
const newest = new Newest(draw, {
  done: showPicture,
  failed: showError,
  busy: (busy) => {
    showBusy(busy);
    if (!busy) drawThumbs();
  },
});

let info = null; // of the generator
let settings = null; // in the controls
let drawn = null; // {settings, url, ...}: the picture on screen
let panels = null;
let sheet = null;
let film = null;
let showPhoto = null;
let showMixPhoto = null;
let showWords = null;
let home = null; // where it starts again
let saidTimer = 0;
let thumbs = 0; // how often they were begun

element("token-form").addEventListener("submit", useToken);
element("settings").addEventListener("submit", (event) => event.preventDefault());
open();

async function open() {
  showBusy(true);
  lookUpFonts(document.querySelectorAll("#settings :is(h1, legend, .hint, [type=number])"));
  try {
    info = await service.info(say, warn);
  } catch (error) {
    showError(error);
    return;
  } finally {
    showBusy(false);
  }
  hideError();
  document.title = `${info.bundle} · StyleRT`;
  element("facts").title = info.backend;
  element("picture").style.setProperty("--ratio", info.img_width / info.img_height);
  const classes = info.c_dim ? ` · ${info.c_dim} classes` : "";
  const family = FAMILIES[info.family] ?? info.family;
  element("facts").textContent = `${family} · ${info.img_width} × ${info.img_height}${classes}`;
  await rest();
  panels = await buildPanels(info, (make) => change(make(settings)));
  sheet = buildSheet(info, drawBlob, (make) => change(make(settings)), showError);
  const drawFilm = (walk, kind, signal) => service.film(walk, kind, info, signal);
  film = buildFilm(info, drawFilm, { say, failed: showError });
  if (info.photos || info.words) photos.recall(info);
  showPhoto = buildPhoto(info, service, { change, say, failed: showError });
  showMixPhoto = buildMixPhoto(change);
  showWords = buildWords(info, service, { change, failed: showError });
  buildActions();
  await rest();
  element("actions").hidden = false;
  element("main").classList.remove("closed");
  window.addEventListener("hashchange", readAddress);
  home = defaults(info);
  if (location.hash.length > 1) readAddress();
  else showFirst();
  await showSettings();
}

/** Show the panels, which are laid out one after the other before: all at once hold the page up. */
async function showSettings() {
  const form = element("settings");
  const parts = [...form.children].filter((part) => !part.hidden);
  for (const part of parts) part.hidden = true;
  form.classList.add("building");
  form.hidden = false;
  for (const part of parts) {
    await nextFrame();
    part.hidden = false;
  }
  await nextFrame();
  form.classList.remove("building");
}

/** Look for a first picture, until something is set by hand or by an address. */
async function showFirst() {
  show(home);
  showBusy(true);
  const wanted = () => settings === home;
  try {
    const picture = await firstPicture(info, draw, wanted);
    if (!wanted()) return;
    home = picture.settings;
    show(home);
    showPicture(picture);
    trail.arrived(toHash(home, info));
    showBusy(false);
  } catch {
    if (wanted()) readAddress(); // the next picture tells what is wrong
  }
}

function useToken(event) {
  event.preventDefault();
  service.setToken(element("token").value);
  element("token-form").hidden = true;
  if (info) newest.ask(settings);
  else open();
}

/* Settings: from the controls and the address, to both and to the picture */

function change(some) {
  const leaves = "seed" in some && !("t" in some); // the walk, and the photo
  const other = "mix_seed" in some ? { mix_photo: null } : {};
  use({ ...settings, ...other, ...some, ...(leaves ? { t: null, photo: null } : {}) });
  trail.note(Object.keys(some).join(), toHash(settings, info));
}

function use(wanted) {
  show(wanted);
  newest.ask(settings);
}

function show(wanted) {
  settings = wanted;
  thumbs++; // they wait
  say("");
  panels.show(settings);
  sheet.show(settings);
  film.show(settings);
  showPhoto(settings);
  showMixPhoto(settings);
  showWords(settings);
}

function readAddress() {
  const { settings: found, ignored } = fromHash(location.hash, info);
  use(found);
  trail.arrived(toHash(found, info));
  if (ignored.length) say(`Not used, as it does not fit this generator: ${ignored.join(", ")}.`);
}

/* The picture */

async function draw(wanted, signal) {
  const started = performance.now();
  const blob = await drawBlob(wanted, signal);
  const ms = performance.now() - started;
  const url = URL.createObjectURL(blob);
  const image = new Image();
  image.src = url;
  await image.decode(); // the old picture stays until this one is there
  return { settings: wanted, url, image, ms };
}

function drawBlob(wanted, signal) {
  return service.draw(wanted, info, signal);
}

/** The small pictures of the walk: one after the other, while nothing else is to be drawn. */
async function drawThumbs() {
  const since = ++thumbs;
  try {
    for (let source; thumbs === since && (source = panels.wanted()) !== null; ) {
      const wanted = alone(settings, source);
      const { image, url } = await draw(wanted);
      panels.saw(wanted, image);
      URL.revokeObjectURL(url);
    }
  } catch {
    // They stay grey. If the server has a problem, the next picture tells.
  }
}

function showPicture(picture) {
  hideError();
  const shown = element("picture");
  shown.src = picture.url;
  shown.alt = inWords(picture.settings, info);
  shown.classList.toggle("small", info.img_width < SMALL);
  shown.hidden = false;
  shown.dataset.settings = toHash(picture.settings, info);
  if (drawn) URL.revokeObjectURL(drawn.url);
  drawn = picture;
  panels.saw(picture.settings, picture.image);
  element("latency").textContent = `· ${Math.round(picture.ms)} ms`;
  element("code").textContent = pythonOf(picture.settings, info);
}

function buildActions() {
  const act = {
    copy: async () => {
      const copied = await copyText(pythonOf(drawn.settings, info));
      if (!copied) element("code-panel").open = true;
      say(copied ? "The Python is on the clipboard." : "Copy the Python from its panel.");
    },
    link: async () => {
      trail.flush();
      const copied = await copyText(location.href);
      say(copied ? "The link is on the clipboard." : "Copy the address of this page.");
    },
    download: () => saveAs(drawn.url, fileName(drawn.settings)),
    reset: () => {
      change(home);
      say("Started again. Undo brings back what was there.");
    },
    full: () => (document.fullscreenElement ? document.exitFullscreen() : element("frame").requestFullscreen()),
    "seed-sheet": () => sheet.open("seed"),
    "mix-sheet": () => sheet.open("mix_seed"),
    "walk-sheet": () => sheet.open("keyframes"),
    undo: () => trail.undo(),
    redo: () => trail.redo(),
  };
  for (const [id, run] of Object.entries(act)) element(id).addEventListener("click", run);
  element("full").hidden = !document.fullscreenEnabled; // as on some phones
  const press = (id) => () => element(id).click(); // a button that is disabled does nothing
  listenToKeys({
    c: press("copy"),
    l: press("link"),
    d: press("download"),
    0: press("reset"),
    f: press("full"),
    s: press("seed-sheet"),
    z: press("undo"),
    y: press("redo"),
    "ctrl+z": press("undo"),
    "ctrl+y": press("redo"),
    "ctrl+shift+z": press("redo"),
    r: () => change({ seed: randomSeed() }),
    j: () => change({ seed: stepped(settings.seed, 1) }),
    k: () => change({ seed: stepped(settings.seed, -1) }),
    m: () => change({ mix_seed: randomSeed() }),
    a: press("keyframe-add"),
    p: press("play"),
    v: press("walk-save"),
  });
}

function fileName(settings) {
  const { seed, photo, class_idx, keyframes, t } = settings;
  const words = isWalking(settings) ? ["seeds", ...keyframes, "at", t] : [sourceName(photo ?? seed)];
  if (info.c_dim && (isWalking(settings) || !photo)) words.push(className(class_idx, info));
  return `${words.join(" ").replaceAll(/[^\p{L}\p{N}.]+/gu, "-")}.png`;
}

/* Words */

function showBusy(busy) {
  element("frame").setAttribute("aria-busy", busy);
}

function showError(error) {
  const ask = error instanceof TokenWanted;
  if (ask) {
    element("token-form").hidden = false;
    element("token").select();
  }
  element("error").textContent = error.message;
  element("error").hidden = ask && !element("token").value; // the first time, the field says it
}

function hideError() {
  element("error").hidden = true;
}

function warn(text) {
  element("warning").textContent = text;
  element("warning").hidden = !text;
}

function say(text) {
  element("note").textContent = text;
  clearTimeout(saidTimer);
  if (text) saidTimer = setTimeout(() => say(""), SAID_MS);
}
