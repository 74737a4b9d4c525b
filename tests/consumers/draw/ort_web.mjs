// onnxruntime-web's WASM build in Node: `node ort_web.mjs GRAPH FEEDS.npz OUT.npz`.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import * as ort from "onnxruntime-web";

const [graph, feeds, out] = process.argv.slice(2);
const python = (code, ...names) => execFileSync("python3", ["-c", code, ...names]);
ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";
const session = await ort.InferenceSession.create(readFileSync(graph), { executionProviders: ["wasm"] });

// Of an .npz, which is a zip of .npy files that are not compressed.
function* members(zip) {
  for (let at = 0; zip.readUInt32LE(at) === 0x04034b50; ) {
    const [flags, inName, extra] = [zip.readUInt16LE(at + 6), zip.readUInt16LE(at + 26), zip.readUInt16LE(at + 28)];
    const name = zip.toString("utf8", at + 30, at + 30 + inName);
    const start = at + 30 + inName + extra;
    let size = zip.readUInt32LE(at + 18);
    if (size === 0xffffffff) size = Number(zip.readBigUInt64LE(at + 30 + inName + 4));
    yield [name.replace(".npy", ""), zip.subarray(start, start + size)];
    at = start + size + (flags & 8 ? 16 : 0);
  }
}

function readArray(npy) {
  const header = npy.toString("latin1", 10, 10 + npy.readUInt16LE(8));
  const shape = header.match(/\(([^)]*)\)/)[1].split(",").filter((x) => x.trim()).map(Number);
  const bytes = npy.subarray(10 + npy.readUInt16LE(8));
  return new ort.Tensor("float32", new Float32Array(Uint8Array.from(bytes).buffer), shape);
}

const given = Object.fromEntries([...members(readFileSync(feeds))].map(([k, v]) => [k, readArray(v)]));
const drawn = await session.run(Object.fromEntries(session.inputNames.map((name) => [name, given[name]])));
const files = Object.entries(drawn).map(([name, x]) => {
  const dtype = x.type === "uint8" ? "|u1" : "<f4";
  let header = `{'descr': '${dtype}', 'fortran_order': False, 'shape': (${x.dims.join(", ")}), }`;
  header = header.padEnd(64 * Math.ceil((header.length + 11) / 64) - 11) + "\n";
  const head = Buffer.concat([Buffer.from("\x93NUMPY\x01\x00", "latin1"), Buffer.from([header.length & 255, header.length >> 8])]);
  const data = Buffer.from(x.data.buffer, x.data.byteOffset, x.data.byteLength);
  writeFileSync(`${name}.npy`, Buffer.concat([head, Buffer.from(header, "latin1"), data]));
  return name;
});
// A zip needs checksums: the packing is left to Python's standard library.
const code = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1], 'w'); [z.write(n + '.npy') for n in sys.argv[2:]]; z.close()";
python(code, out, ...files);
