/** The styles of photos, as the service gave them: kept until this tab closes, and nowhere else. */

class PhotoStyles {
  #styles = new Map(); // 'w:...' by name
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

  /** Keep styles; gives the name that settings have them by. */
  add(w) {
    const name = `p${this.#styles.size + 1}`;
    this.#styles.set(name, w);
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
    return this.#styles.get(name);
  }

  /** The name of the newest; null without any. */
  get newest() {
    return [...this.#styles.keys()].at(-1) ?? null;
  }
}

export const photos = new PhotoStyles();
