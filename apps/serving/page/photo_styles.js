/**
 * The styles of photos and texts, as the service gave them, and the newest photo: kept until this tab
 * closes, and nowhere else.
 */

class PhotoStyles {
  #styles = new Map(); // {w: 'w:...', text} by name
  #pictures = new Map(); // of those of photos, in base64, by name
  #key = null; // of this tab's storage

  /** Take up what this tab has kept for a generator. */
  recall({ bundle, num_ws, w_dim }) {
    this.#key = `stylert-photos ${bundle} ${num_ws} ${w_dim}`;
    try {
      this.#styles = new Map(JSON.parse(sessionStorage.getItem(this.#key) ?? "[]"));
      const { names, picture } = JSON.parse(sessionStorage.getItem(this.#pictureKey) ?? '{"names": []}');
      this.#pictures = new Map(names.map((name) => [name, picture]));
    } catch {
      // No storage in this browser: they are gone after a reload.
    }
  }

  /** Keep styles, and the text or the picture that they are of; gives the name that settings have them by. */
  add(w, { text = null, picture = null } = {}) {
    const name = `p${this.#styles.size + 1}`;
    this.#styles.set(name, { w, text });
    if (picture) this.#pictures.set(name, picture);
    try {
      sessionStorage.removeItem(this.#pictureKey); // styles go first, where there is little room
      sessionStorage.setItem(this.#key, JSON.stringify([...this.#styles]));
      const newest = this.newestPicture;
      const names = [...this.#pictures.keys()].filter((key) => this.#pictures.get(key) === newest);
      if (newest) sessionStorage.setItem(this.#pictureKey, JSON.stringify({ names, picture: newest }));
    } catch {
      // As above, or it is full.
    }
    return name;
  }

  has(name) {
    return this.#styles.has(name);
  }

  get(name) {
    return this.#styles.get(name)?.w;
  }

  /** The text that found them; null or undefined for those of a photo, and of a seed. */
  textOf(name) {
    return this.#styles.get(name)?.text;
  }

  /** The photo that styles are of; undefined where it was not kept. */
  pictureOf(name) {
    return this.#pictures.get(name);
  }

  /** The newest photo; null without any. */
  get newestPicture() {
    return [...this.#pictures.values()].at(-1) ?? null;
  }

  /** The name of the newest; null without any. */
  get newest() {
    return [...this.#styles.keys()].at(-1) ?? null;
  }

  get #pictureKey() {
    return `${this.#key} picture`;
  }
}

export const photos = new PhotoStyles();
