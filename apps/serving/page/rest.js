/** Let the page breathe: what the user does comes before the rest of a long work. */

/** Go on when the browser has looked after what waits: input, and what is to be painted. */
export function rest() {
  return globalThis.scheduler?.yield?.() ?? new Promise((resolve) => setTimeout(resolve));
}
