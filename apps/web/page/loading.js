/** Files of the site, with how much of them has come, and a check that they are what was written. */

/** Read a small file of JSON. */
export async function loadJson(url) {
  const answer = await fetched(url);
  try {
    return await answer.json();
  } catch {
    throw changed(url);
  }
}

/**
 * Read files that belong together.
 *
 * @param {Object<string, {bytes: number, sha256: string}>} files - by address.
 * @param {function(string)} say - is told how far it is.
 * @returns {Promise<Object<string, ArrayBuffer>>} by address.
 */
export async function loadFiles(files, say) {
  const whole = Object.values(files).reduce((sum, { bytes }) => sum + bytes, 0);
  let come = 0;
  const tell = (bytes) => {
    come += bytes;
    say(`Loading the generator: ${megabytes(come)} of ${megabytes(whole)} MB`);
  };
  const load = async ([url, expected]) => [url, await loadFile(url, expected, tell)];
  return Object.fromEntries(await Promise.all(Object.entries(files).map(load)));
}

async function loadFile(url, { bytes, sha256 }, tell) {
  const answer = await fetched(url);
  const data = new Uint8Array(bytes);
  let end = 0;
  for await (const part of partsOf(answer)) {
    if (end + part.length > bytes) throw changed(url);
    data.set(part, end);
    end += part.length;
    tell(part.length);
  }
  if (end !== bytes || (await hashOf(data)) !== sha256) throw changed(url);
  return data.buffer;
}

async function* partsOf(answer) {
  const reader = answer.body.getReader();
  for (let part; !(part = await reader.read()).done; ) yield part.value;
}

async function fetched(url) {
  let answer;
  try {
    answer = await fetch(url);
  } catch {
    throw new Error(`${nameOf(url)} cannot be reached. Is the network there?`);
  }
  if (answer.ok) return answer;
  throw new Error(
    `${nameOf(url)} is missing on this server (${answer.status}). All files that 'stylert web' wrote must be there.`,
  );
}

function changed(url) {
  return new Error(
    `${nameOf(url)} is not the file that 'stylert web' wrote with this page: it is cut off, changed, or of another time. Load the page again; if it stays, copy the whole folder to the server again.`,
  );
}

/** SHA-256 in hexadecimal digits. */
async function hashOf(data) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function nameOf(url) {
  return new URL(url).pathname.split("/").slice(-2).join("/");
}

function megabytes(bytes) {
  return (bytes / 1e6).toFixed(1);
}
