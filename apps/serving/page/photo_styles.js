/** The styles of photos, as the service gave them: kept in this tab, and nowhere else. */

class PhotoStyles {
  #styles = new Map(); // 'w:...' by name

  /** Keep styles; gives the name that settings have them by. */
  add(w) {
    const name = `p${this.#styles.size + 1}`;
    this.#styles.set(name, w);
    return name;
  }

  has(name) {
    return this.#styles.has(name);
  }

  get(name) {
    return this.#styles.get(name);
  }
}

export const photos = new PhotoStyles();
