/** Plays a walk: it moves the place on at an even speed, whatever the server can draw of it. */

const TICK_MS = 40;

export class Player {
  #timer = 0;

  /**
   * @param {function(number)} moved - called with every new place, 0 to 1.
   * @param {function(boolean)} showPlaying - told whether it plays.
   */
  constructor(moved, showPlaying) {
    this.moved = moved;
    this.showPlaying = showPlaying;
    document.addEventListener("visibilitychange", () => document.hidden && this.stop());
  }

  get playing() {
    return this.#timer !== 0;
  }

  /** Go on from a place to the end; on a loop, for ever. */
  play({ t, loop, seconds }, segments) {
    this.stop();
    const length = 1000 * seconds * segments;
    const start = loop || t < 1 ? (t ?? 0) : 0; // from the end, again
    const started = performance.now() - start * length;
    this.#timer = setInterval(() => {
      const passed = (performance.now() - started) / length;
      if (passed >= 1 && !loop) this.stop();
      this.moved(loop ? rounded(passed % 1) : Math.min(rounded(passed), 1));
    }, TICK_MS);
    this.showPlaying(true);
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.showPlaying(false);
  }
}

/** A place as short as its address and its Python should be. */
function rounded(t) {
  return Math.round(t * 1000) / 1000;
}
