/** What takes the service longer than a request: begun, looked at until it has ended, or stopped. */

const LOOK_MS = 400; // between two looks
const OPEN = ["waiting", "running"];

/** One job at a time. */
export class Work {
  #job = null;
  #wanted = true;

  /**
   * @param {Service} service
   * @param {function(?object)} show - told how far the job is; null when there is none.
   */
  constructor(service, show) {
    this.service = service;
    this.show = show;
  }

  get running() {
    return this.#job !== null;
  }

  /**
   * @param {string} path - of the route that starts it.
   * @returns {Promise<object>} what the job says at its end.
   */
  async run(path, body) {
    this.#job = { state: "waiting", stage: "", step: 0, steps: 0 };
    this.#wanted = true;
    this.show(this.#job);
    try {
      this.#job = await this.service.ask(path, body);
      if (!this.#wanted) await this.stop(); // before it had a name
      while (OPEN.includes(this.#job.state)) {
        this.show(this.#job);
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        this.#job = await this.service.job(this.#job.id);
      }
      if (this.#job.state === "failed") throw new Error(this.#job.error);
      return this.#job;
    } finally {
      this.#job = null;
      this.show(null);
    }
  }

  /** End it at its next step; what it has found stays. */
  async stop() {
    this.#wanted = false;
    if (this.#job?.id) await this.service.cancel(this.#job.id);
  }
}

/** How far a job is, in words. */
export function progressOf(job) {
  if (!job) return "";
  return job.steps ? `${job.stage} ${job.step}/${job.steps}` : job.stage || "waiting";
}
