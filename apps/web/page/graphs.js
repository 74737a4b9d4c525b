/** The graphs in onnxruntime-web: on the GPU where there is a real one, else on the processor. */

const LARGE = 256 * 256; // pixels of a picture from which on threads pay
const MOST_THREADS = 4;

/** The build of onnxruntime-web: of the two for graphics cards, newer browsers take the smaller. */
function buildOf(backend) {
  if (backend === "wasm") return "ort.wasm.min.mjs";
  return "Suspending" in WebAssembly ? "ort.jspi.min.mjs" : "ort.webgpu.min.mjs";
}

/**
 * What this browser should draw with.
 *
 * @param {?string} asked - 'wasm' or 'webgpu', which then may be a software adapter; null: the
 *   graphics card if there is one.
 * @returns {Promise<'wasm'|'webgpu'>}
 */
export async function chooseBackend(asked) {
  if (asked === "wasm") return "wasm";
  const adapter = await navigator.gpu?.requestAdapter();
  if (asked === "webgpu") {
    if (adapter) return "webgpu";
    throw new Error("This browser has no WebGPU adapter. Without ?backend=webgpu the processor draws.");
  }
  const software = adapter?.info?.isFallbackAdapter ?? adapter?.isFallbackAdapter;
  return adapter && !software ? "webgpu" : "wasm";
}

export class Graphs {
  /**
   * @param {Object<string, {model: ArrayBuffer, weights: ?Float32Array}>} models - ONNX files by
   *   name, and what they take as external data.
   * @param {{backend: string, runtime: string, pixels: number}} how - `runtime` is the address of the
   *   folder with onnxruntime-web.
   */
  static async open(models, { backend, runtime, pixels }) {
    const ort = await imported(new URL(buildOf(backend), runtime).href);
    const threads = crossOriginIsolated && pixels >= LARGE ? threadsOf() : 1;
    ort.env.wasm.wasmPaths = runtime;
    ort.env.wasm.numThreads = threads;
    ort.env.logLevel = "error";
    const options = { executionProviders: [backend], logSeverityLevel: 3 };
    const sessions = {};
    for (const [name, { model, weights }] of Object.entries(models)) {
      const beside = weights ? { externalData: [{ path: "weights", data: bytesOf(weights) }] } : {};
      const file = new Uint8Array(model);
      sessions[name] = await ort.InferenceSession.create(file, { ...options, ...beside });
    }
    const words = threads === 1 ? "1 thread" : `${threads} threads`;
    const how = backend === "webgpu" ? "WebGPU" : `WebAssembly, ${words}`;
    return new Graphs(ort, sessions, `onnxruntime-web ${ort.env.versions.web}, ${how}`);
  }

  constructor(ort, sessions, choice) {
    this.ort = ort;
    this.sessions = sessions;
    this.choice = choice;
  }

  /**
   * @param {Object<string, [Float32Array, number[]]>} feeds - numbers and their shape by input.
   * @returns {Promise<{data: *, dims: number[]}>} the output that is asked for.
   */
  async run(name, feeds, output) {
    const tensors = Object.entries(feeds).map(([input, [data, shape]]) => [
      input,
      new this.ort.Tensor("float32", data, shape),
    ]);
    return (await this.sessions[name].run(Object.fromEntries(tensors), [output]))[output];
  }
}

function bytesOf(numbers) {
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}

function threadsOf() {
  return Math.min(MOST_THREADS, Math.ceil(navigator.hardwareConcurrency / 2));
}

async function imported(url) {
  try {
    return await import(url);
  } catch {
    throw new Error(`runtime/${url.split("/").at(-1)} cannot be loaded: it is missing on this server, or cut off. All files that 'stylert web' wrote must be there.`);
  }
}
