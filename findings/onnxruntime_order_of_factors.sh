#!/usr/bin/env bash
# ONNX Runtime 1.31.1 folds a constant factor for each channel behind a convolution into the weights where the
# convolution is the first operand of Mul. Where it is the second one, it does not, and the product costs a pass over the
# picture, or a convolution of its own. A product is the same in both orders, and most exporters do not care.
# Seen: Mul(conv, factors) leaves ['Conv'], Mul(factors, conv) leaves ['Conv', 'Mul'].
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(sys.argv[1])


def list_operators(first: str, second: str) -> tuple[list[str], np.ndarray]:
    """What is left of the graph, and what it gives, with the operands of Mul in this order."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(8, 8, 3, 3)).astype(np.float32)
    factors = rng.normal(size=(8, 1, 1)).astype(np.float32)
    shape = ["N", 8, 16, 16]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "weight"], ["conv"], pads=[1] * 4),
            helper.make_node("Mul", [first, second], ["y"]),
        ],
        "scaled",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(factors, "factors")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    # Higher levels bring layouts of a processor's own.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(FOLDER / f"{first}.onnx")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    x = rng.normal(size=(1, 8, 16, 16)).astype(np.float32)
    left = onnx.load(options.optimized_model_filepath).graph.node
    return [node.op_type for node in left], session.run(None, {"x": x})[0]


folded, picture = list_operators("conv", "factors")
kept, same = list_operators("factors", "conv")
print(f"onnxruntime {onnxruntime.__version__}: Mul(conv, factors) {folded}, Mul(factors, conv) {kept}")
assert np.abs(picture - same).max() < 1e-4
if folded == ["Conv"] and kept == ["Conv", "Mul"]:
    print("As found: put the constant second.")
else:
    sys.exit("CHANGED: ONNX Runtime folds something else now.")
PYTHON
