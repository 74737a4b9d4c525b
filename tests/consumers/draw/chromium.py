"""onnxruntime-web in Chromium: `chromium.py GRAPH FEEDS.npz OUT.npz wasm|webgpu`.

Its files are those of npm beside this venv. WebGPU runs on SwiftShader, a program on the processor.
"""

import base64
import http.server
import os
import re
import shutil
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
from playwright.sync_api import Error, sync_playwright

graph, feeds, out, provider = sys.argv[1:]
FLAGS = {
    "wasm": (),
    "webgpu": (
        *("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"),
        "--enable-features=Vulkan",
    ),
}
DRAW = """async ([provider, feeds]) => {
    const file = provider === "wasm" ? "ort.wasm.min.mjs" : "ort.webgpu.min.mjs";
    const ort = await import(`/node_modules/onnxruntime-web/dist/${file}`);
    ort.env.wasm.numThreads = 1;
    ort.env.logLevel = "error";
    const options = { executionProviders: [provider] };
    if (provider === "webgpu") options.extra = { session: { disable_cpu_ep_fallback: "1" } };
    const session = await ort.InferenceSession.create("/synthesis.onnx", options);
    const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const text = (array) => {
        let all = "";
        for (const byte of new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
            all += String.fromCharCode(byte);
        return btoa(all);
    };
    const given = {};
    for (const name of session.inputNames) {
        const [shape, data] = feeds[name];
        given[name] = new ort.Tensor("float32", new Float32Array(bytes(data).buffer), shape);
    }
    const drawn = await session.run(given);
    return ["img", "image"].map((name) => [drawn[name].dims, text(drawn[name].data)]);
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and says nothing."""

    def log_message(self, *args: object) -> None:
        """Nothing."""


Quiet.extensions_map |= {".mjs": "text/javascript", ".wasm": "application/wasm"}
folder = Path(graph).parent
(folder / "node_modules").symlink_to(Path(sys.prefix) / "node_modules")
(folder / "index.html").write_text("<!doctype html><title>onnxruntime-web</title>")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
threading.Thread(target=server.serve_forever, daemon=True).start()
arrays = np.load(feeds)
given = {
    name: [list(arrays[name].shape), base64.b64encode(arrays[name].tobytes()).decode()]
    for name in arrays.files
    if name != "expected"
}
with sync_playwright() as driver:
    browser = driver.chromium.launch(
        executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"),
        args=["--disable-gpu" if provider == "wasm" else "--no-first-run", *FLAGS[provider]],
        chromium_sandbox=False,  # needs rights that a container has not; only our page is shown
    )
    page = browser.new_page()
    page.set_default_timeout(300_000)
    page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
    try:
        img, image = page.evaluate(DRAW, [provider, given])
    except Error as error:  # its other lines, and what is cut off, are places in sources
        words = re.sub(r".*ERROR_MESSAGE: (\S+\.cc:\d+ )?", "", str(error).splitlines()[0])
        raise SystemExit(re.sub(r".* was false\. ", "", words)) from None
    browser.close()
np.savez(
    out,
    img=np.frombuffer(base64.b64decode(img[1]), np.float32).reshape(img[0]),
    image=np.frombuffer(base64.b64decode(image[1]), np.uint8).reshape(image[0]),
)
