/** Let the page breathe: what the user does comes before the rest of a long work. */

const FRAME_MS = 500; // then it is not waited for any longer

/** Go on when the browser has looked after what waits: input, and what is to be painted. */
export function rest() {
  return globalThis.scheduler?.yield?.() ?? new Promise((resolve) => setTimeout(resolve));
}

/** Go on when the browser has laid out and painted what was changed; at once in a page that nobody sees. */
export function nextFrame() {
  if (document.hidden) return rest();
  return new Promise((resolve) => {
    setTimeout(resolve, FRAME_MS); // behind another window, no frames come
    requestAnimationFrame(() => setTimeout(resolve));
  });
}
