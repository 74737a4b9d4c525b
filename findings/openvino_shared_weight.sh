#!/usr/bin/env bash
# OpenVINO 2026.4.1 on an x86 processor: where a ConvTranspose and a Conv share one weight whose first two axes are
# equally long, the Conv gives wrong numbers, with no error and no warning. A graph of gradients is such a graph: the
# adjoint of an up-convolution is a convolution with the very weight. With a copy of the weight for each of the two,
# or with a weight whose first two axes differ, the same graph is right; ONNX Runtime is right in all cases.
# Seen: shared [24,24,3,3] off by about as much as the largest number; copies, and shared [24,16,3,3], by rounding.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 openvino==2026.4.1
"$folder/venv/bin/python" - <<'PYTHON'
import platform
import sys

import numpy as np
import onnx
import onnxruntime
import openvino as ov
from onnx import TensorProto, helper, numpy_helper

if platform.machine() not in ("x86_64", "AMD64"):
    sys.exit("This finding is of x86 processors: others have another plug-in.")

SIZE = 8


def write_model(weight: np.ndarray, shared: bool) -> bytes:
    """Up by a ConvTranspose, and down again by a Conv with the same numbers."""
    channels = weight.shape[0]
    names = ["w", "w" if shared else "copy"]
    nodes = [
        helper.make_node("ConvTranspose", ["x", names[0]], ["up"], strides=[2, 2]),
        helper.make_node("Conv", ["up", names[1]], ["down"], strides=[2, 2]),
    ]
    shape = [1, channels, SIZE, SIZE]
    graph = helper.make_graph(
        nodes,
        "up-and-down",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("down", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, name) for name in dict.fromkeys(names)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def measure_difference(inputs: int, outputs: int, shared: bool) -> float:
    """The largest difference from ONNX Runtime, as a share of the largest number."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(inputs, outputs, 3, 3)).astype(np.float32)
    x = rng.normal(size=(1, inputs, SIZE, SIZE)).astype(np.float32)
    model = write_model(weight, shared)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    expected = session.run(None, {"x": x})[0]
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    core = ov.Core()
    got = core.compile_model(core.read_model(model), "CPU", hint)({"x": x})["down"]
    return float(np.abs(got - expected).max() / np.abs(expected).max())


seen = {
    (outputs, shared): measure_difference(24, outputs, shared)
    for outputs in (24, 16)
    for shared in (True, False)
}
for (outputs, shared), difference in seen.items():
    kind = "shared" if shared else "copies"
    print(f"weight [24,{outputs},3,3], {kind}: largest difference {difference:.1e} of the range")
wrong = [key for key, difference in seen.items() if difference > 1e-3]
if wrong != [(24, True)]:
    sys.exit(f"This has changed: wrong are {wrong}, not the shared square weight alone.")
PYTHON
