#!/usr/bin/env bash
# ONNX Runtime 1.31.1 on an x86 processor has no kernels for convolutions in half precision. It runs such a graph in
# float32, and of the Casts that it puts around the kernels it removes those between them: every rounding of an
# activation is gone. The sums of two convolutions that half precision would round, or let overflow, come out as in
# float32. So a half-precision graph that is "tested on the CPU" was not: only its weights were rounded.
# Seen: the graph's value is 90000, where half precision has no number above 65504 and must give infinity.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1
"$folder/venv/bin/python" - <<'PYTHON'
import platform
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

if platform.machine() not in ("x86_64", "AMD64"):
    sys.exit("This finding is of x86 processors: on ARM there are kernels for half precision.")

HALF = TensorProto.FLOAT16


def convolution(source: str, target: str, weight: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weight], [target], name=target)


# 1 -> 300 -> 90000 -> 90: the value in the middle is more than half precision holds.
weights = {"up": 300.0, "again": 300.0, "down": 1e-3}
graph = helper.make_graph(
    [
        helper.make_node("Cast", ["x"], ["x16"], to=HALF),
        convolution("x16", "a", "up"),
        convolution("a", "b", "again"),
        convolution("b", "c", "down"),
        helper.make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
    ],
    "half",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 2, 2])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 2, 2])],
    [
        numpy_helper.from_array(np.full((1, 1, 1, 1), value, np.float16), name)
        for name, value in weights.items()
    ],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
feed = {"x": np.ones((1, 1, 2, 2), np.float32)}
session = onnxruntime.InferenceSession(
    model.SerializeToString(), providers=["CPUExecutionProvider"]
)
got = float(session.run(["y"], feed)[0].max())
with np.errstate(all="ignore"):
    by_the_standard = float(np.asarray(ReferenceEvaluator(model).run(["y"], feed)[0]).max())
print(f"onnxruntime {onnxruntime.__version__}: {got}; onnx's own evaluator: {by_the_standard}")
if np.isinf(by_the_standard) and abs(got - 90) < 1:
    print("As found: the overflow in the middle is not to be seen on the CPU.")
else:
    sys.exit("CHANGED: the CPU rounds as the graph says, or the evaluator does not.")
PYTHON
