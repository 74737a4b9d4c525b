/** Styles as the file that `load_ws` reads: NumPy's .npz, which is a ZIP of arrays. */

import { joinZip } from "./zip.js";

const MAGIC = [0x93, ...new TextEncoder().encode("NUMPY"), 1, 0]; // version 1.0
const ALIGNED = 64; // bytes, to which the header is filled up

/**
 * @param {string} handle - 'w:...', as the service gives it.
 * @returns {Blob} with `w` [1, num_ws, w_dim] float32.
 */
export function npzOf(handle, { num_ws, w_dim }) {
  const data = Uint8Array.from(atob(handle.slice(2)), (letter) => letter.charCodeAt(0));
  return joinZip([["w.npy", npyOf(data, [1, num_ws, w_dim])]]);
}

/** Little-endian float32 behind the header of NumPy ("NEP 1"). */
function npyOf(data, shape) {
  const about = `{'descr': '<f4', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`;
  const start = MAGIC.length + 2;
  const size = Math.ceil((start + about.length + 1) / ALIGNED) * ALIGNED;
  const header = new TextEncoder().encode(`${about.padEnd(size - start - 1)}\n`);
  const length = [header.length & 0xff, header.length >> 8];
  const file = new Uint8Array(size + data.length);
  file.set([...MAGIC, ...length, ...header]);
  file.set(data, size);
  return file;
}
