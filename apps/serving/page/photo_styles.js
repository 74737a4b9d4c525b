/** The styles of photos and texts, as the service gave them: kept until this tab closes, and nowhere else. */

class PhotoStyles {
  #styles = new Map(); // {w: 'w:...', text} by name
  #key = null; // of this tab's storage

  /** Take up what this tab has kept for a generator. */
  recall({ bundle, num_ws, w_dim }) {
    this.#key = `stylert-photos ${bundle} ${num_ws} ${w_dim}`;
    try {
      this.#styles = new Map(JSON.parse(sessionStorage.getItem(this.#key) ?? "[]"));
    } catch {
      // No storage in this browser: they are gone after a reload.
    }
  }

  /** Keep styles, and the text that found them; gives the name that settings have them by. */
  add(w, text = null) {
    const name = `p${this.#styles.size + 1}`;
    this.#styles.set(name, { w, text });
    try {
      sessionStorage.setItem(this.#key, JSON.stringify([...this.#styles]));
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

  /** The name of the newest; null without any. */
  get newest() {
    return [...this.#styles.keys()].at(-1) ?? null;
  }
}

export const photos = new PhotoStyles();
