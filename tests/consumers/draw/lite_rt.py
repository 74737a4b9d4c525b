"""LiteRT by onnx2tf, which turns ws to [N, w_dim, layers] and pictures to NHWC."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from ai_edge_litert.interpreter import Interpreter

graph, feeds, out = sys.argv[1:]
given = dict(np.load(feeds))
model = onnx.load(graph)
names = [node.name for node in model.graph.input]
for node in model.graph.input:  # onnx2tf takes no grouped ConvTranspose of a free batch
    for axis, size in zip(node.type.tensor_type.shape.dim, given[node.name].shape, strict=True):
        axis.dim_value = size
for node in model.graph.output:
    node.type.tensor_type.shape.dim[0].dim_value = len(given["expected"])
del model.graph.value_info[:]
fixed = Path("fixed.onnx")
onnx.save(model, fixed)
before = fixed.read_bytes()
onnx2tf = Path(sys.executable).with_name("onnx2tf")
done = subprocess.run([onnx2tf, "-i", fixed, "-o", "lite", "-n"], capture_output=True, text=True)
models = list(Path("lite").glob("*float32.tflite"))
if not models:
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    raise SystemExit(
        "onnx2tf does not convert it: "
        + next((line for line in reversed(said) if "Error: " in line), said[-1])
    )
note = "it writes into the file that it is given" if fixed.read_bytes() != before else ""
interpreter = Interpreter(str(models[0]))
interpreter.allocate_tensors()
for node in interpreter.get_input_details():
    name = next(n for n in names if n.replace("/", "_") in node["name"])
    turned = np.moveaxis(given[name], 1, -1)  # a square array, too: its shape does not tell
    interpreter.set_tensor(node["index"], np.ascontiguousarray(turned))
interpreter.invoke()
arrays = [interpreter.get_tensor(node["index"]) for node in interpreter.get_output_details()]
img = next(a for a in arrays if a.dtype == np.float32)
image = next(a for a in arrays if a.dtype == np.uint8)
if img.shape[1] != given["expected"].shape[1]:
    img = np.moveaxis(img, -1, 1)
np.savez(out, img=img, image=image, note=note)
