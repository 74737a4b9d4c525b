/**
 * Requests of a slider that moves: one at a time, and of those that wait only the newest.
 *
 * A server that draws cannot be stopped, so giving up each request for the next would fill its
 * queue, and a picture slower than the hand would never be seen. So a request may end; one that
 * takes too long gives way to a newer one.
 */

const PATIENCE_MS = 10_000; // then a newer setting no longer waits
const LIMIT_MS = 120_000; // then nobody does

export class Newest {
  /**
   * @param {function(*, AbortSignal): Promise<*>} work - draws a setting.
   * @param {{done: function(*, *), failed: function(Error, *), busy: function(boolean)}} to
   */
  constructor(work, to) {
    this.work = work;
    this.to = to;
    this.waiting = null; // {setting}, or nothing
    this.running = null; // {abort, since}, or nothing
  }

  /** Draw this setting next, in place of any that still waits. */
  ask(setting) {
    this.waiting = { setting };
    if (!this.running) {
      this.#run();
    } else if (performance.now() - this.running.since > PATIENCE_MS) {
      this.running.abort.abort(new Error("replaced"));
    }
  }

  async #run() {
    this.to.busy(true);
    while (this.waiting) {
      const { setting } = this.waiting;
      this.waiting = null;
      const abort = new AbortController();
      this.running = { abort, since: performance.now() };
      const limit = setTimeout(
        () => abort.abort(new Error(`The server gave no answer in ${LIMIT_MS / 1000} seconds.`)),
        LIMIT_MS,
      );
      try {
        this.to.done(await this.work(setting, abort.signal), setting);
      } catch (error) {
        if (!this.waiting) this.to.failed(error, setting); // else the next one tells
      } finally {
        clearTimeout(limit);
        this.running = null;
      }
    }
    this.to.busy(false);
  }
}
