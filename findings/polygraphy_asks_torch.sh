#!/usr/bin/env bash
# Polygraphy 0.53.6 checks at each inference whether an array is a PyTorch tensor, and imports PyTorch to ask: a NumPy array
# given to a runner of ONNX Runtime loads all of PyTorch where it is installed (seconds, and hundreds of megabytes), though
# no tensor can exist before somebody imported it. Opening the runner does not.
# Seen: "torch" is no loaded module before the first `infer`, and is one after it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 polygraphy==0.53.6 colored==2.3.2 torch==2.13.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import polygraphy
from onnx import TensorProto, helper
from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx

graph = helper.make_graph(
    [helper.make_node("Neg", ["x"], ["y"])],
    "negative",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
with OnnxrtRunner(SessionFromOnnx(model.SerializeToString())) as runner:
    before = "torch" in sys.modules
    y = runner.infer({"x": np.arange(4, dtype=np.float32)})["y"]
after = "torch" in sys.modules
print(f"polygraphy {polygraphy.__version__}: PyTorch loaded before the inference {before}, after it {after}")
assert np.array_equal(y, -np.arange(4, dtype=np.float32))
if (before, after) == (False, True):
    print("As found: one inference with NumPy arrays loads PyTorch.")
else:
    sys.exit("CHANGED: PyTorch is loaded at another time.")
PYTHON
