"""LiteRT by onnx2tf, which turns ws to [N, w_dim, layers] and pictures to NHWC."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from ai_edge_litert.interpreter import Interpreter

graph, feeds, out = sys.argv[1:]
given = dict(np.load(feeds))
names = [node.name for node in onnx.load(graph).graph.input]
shapes = [f"{name}:{','.join(map(str, given[name].shape))}" for name in names]
onnx2tf = Path(sys.executable).with_name("onnx2tf")
done = subprocess.run(
    [onnx2tf, "-i", graph, "-o", "lite", "-n", "-ois", *shapes], capture_output=True, text=True
)
models = list(Path("lite").glob("*float32.tflite"))
if not models:
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    raise SystemExit(
        "onnx2tf does not convert it: "
        + next((line for line in said if "must be equal" in line or "Error" in line), said[-1])
    )
model = models[0]
interpreter = Interpreter(str(model))
interpreter.allocate_tensors()
for node in interpreter.get_input_details():
    name = next(n for n in names if n.replace("/", "_") in node["name"])
    array = given[name]
    for turned in (array, array.swapaxes(1, -1), np.moveaxis(array, 1, -1)):
        if tuple(node["shape"]) == turned.shape:
            break
    interpreter.set_tensor(node["index"], np.ascontiguousarray(turned))
interpreter.invoke()
arrays = [interpreter.get_tensor(node["index"]) for node in interpreter.get_output_details()]
img = next(a for a in arrays if a.dtype == np.float32)
image = next(a for a in arrays if a.dtype == np.uint8)
if img.shape[1] != given["expected"].shape[1]:
    img = np.moveaxis(img, -1, 1)
np.savez(out, img=img, image=image)
