"""LiteRT by onnx2tf, which is told to keep the shape of every input: it turns some, not all."""

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
keep = ["-kat", *names]  # else ws is [N, w_dim, layers], but a transform is as it was
done = subprocess.run(
    [onnx2tf, "-i", fixed, "-o", "lite", "-n", *keep], capture_output=True, text=True
)
models = list(Path("lite").glob("*float32.tflite"))
if not models:
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    raise SystemExit(
        "onnx2tf does not convert it: "
        + next((line for line in reversed(said) if "Error: " in line), said[-1])
    )
note = "it writes into the file that it is given" if fixed.read_bytes() != before else ""
draw = Interpreter(str(models[0])).get_signature_runner()
drawn = draw(**{name: given[name] for name in names})
np.savez(out, img=drawn["img"], image=drawn["image"], note=note)
