/** Whether a device has the memory that the generator takes, as far as a browser tells. */

const GB = 2 ** 30;
const SHARE = 0.5; // of a device's memory that one page can have
const OF_A_PHONE = 1 * GB; // that one page can have, where the browser does not tell
const PHONES = /android|iphone|ipad|ipod|mobile/i;
const FULL = /out of memory|could not allocate|allocation failed|failed to allocate|bad_alloc|invalid (typed )?array (buffer )?length|grow memory/i;
const UNOPENED = /no available backend found/; // of onnxruntime-web

/**
 * @param {number} bytes - that the page takes at most.
 * @returns {string} what to do about a device with too little for that; '' where there is enough.
 */
export function warnOfMemory(bytes, { deviceMemory, userAgent, maxTouchPoints = 0 } = navigator) {
  const pad = /macintosh/i.test(userAgent) && maxTouchPoints > 1; // an iPad says that it is a Mac
  const phone = PHONES.test(userAgent) || pad;
  const room = deviceMemory ? deviceMemory * GB * SHARE : phone ? OF_A_PHONE : Infinity;
  if (bytes <= room) return "";
  const has = deviceMemory ? `this device has ${deviceMemory} GB` : "phones give a page about 1 GB";
  return (
    `This generator takes about ${(bytes / GB).toFixed(1)} GB of memory, and ${has}: the browser ` +
    "may close the page. Close other pages and apps first, or open it on a computer."
  );
}

/** An error in words: neither browsers nor onnxruntime-web say what to do. */
export function inWords({ message }) {
  if (FULL.test(message)) {
    return `There is too little memory for this generator (${message}). Close other pages and apps, and load this page again; or open it on a computer.`;
  }
  if (UNOPENED.test(message)) {
    return `onnxruntime-web cannot be started: a file in runtime/ is missing on this server, cut off or changed (${message}). All files that 'stylert web' wrote must be there.`;
  }
  return message;
}
