/** The settings that were, one step after the other: the browser's Back and Forward go through them. */

const QUIET_MS = 250; // that end a step; browsers refuse to change the address much more often

export class Trail {
  #at = history.state?.step ?? -1; // the first address is step 0
  #last = this.#at; // that can be gone forward to, as far as is known
  #kind = null; // of the step that is being made
  #hash = null;
  #timer = 0;
  #held = false; // while a slider is, its step goes on

  /** @param {function(boolean, boolean)} show - told whether there is something to undo, to redo. */
  constructor(show) {
    this.show = show;
    document.addEventListener("pointerdown", () => (this.#held = true));
    for (const end of ["pointerup", "pointercancel"]) {
      document.addEventListener(end, () => (this.#held = false));
    }
  }

  /** Changed settings, as an address; quick changes of one kind are one step. */
  note(kind, hash) {
    if (kind !== this.#kind) this.flush();
    [this.#kind, this.#hash] = [kind, hash];
    this.show(true, false);
    this.#wait();
  }

  /** Write the step that is being made into the address. */
  flush() {
    clearTimeout(this.#timer);
    const hash = this.#hash;
    this.#kind = this.#hash = null;
    if (hash !== null && hash !== location.hash) {
      this.#last = ++this.#at;
      write("pushState", this.#at, hash);
    }
    this.#tell();
  }

  /** The address has changed, by Back, Forward or hand, and reads as this one. */
  arrived(hash) {
    clearTimeout(this.#timer);
    this.#kind = this.#hash = null;
    if (history.state) this.#at = history.state.step;
    else this.#last = ++this.#at; // the first one, or written by hand: a step, too
    write("replaceState", this.#at, hash);
    this.#tell();
  }

  undo() {
    this.flush();
    if (this.#at > 0) history.back();
  }

  redo() {
    this.flush();
    if (this.#at < this.#last) history.forward();
  }

  #wait() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.#held ? this.#wait() : this.flush()), QUIET_MS);
  }

  #tell() {
    this.show(this.#at > 0, this.#at < this.#last);
  }
}

function write(how, step, hash) {
  try {
    history[how]({ step }, "", hash);
  } catch {
    // Safari takes a hundred in half a minute; the next one tells all that is set.
  }
}
