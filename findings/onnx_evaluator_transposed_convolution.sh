#!/usr/bin/env bash
# The reference evaluator of onnx 1.23.2, which many use as the judge of other runtimes, computes ConvTranspose with
# groups otherwise than the standard says. Depthwise (one channel a group, as the up-sampling filters of generators
# are): every channel gets the first channel's bias. Other groups: ValueError, from a shape that it made itself.
# ONNX Runtime 1.31.1 does both as the standard says.
# Seen: biases 1, 2, 3 of three channels come out as 1, 1, 1; with 4 channels in 2 groups, ValueError.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


def draw(channels: int, groups: int) -> tuple[np.ndarray | str, np.ndarray]:
    """What the evaluator and ONNX Runtime make of zeros: the biases, if they are right."""
    weight = np.ones((channels, channels // groups, 2, 2), np.float32)
    bias = np.arange(1, channels + 1, dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], group=groups, strides=[2, 2])],
        "up",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, 2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, channels, 4, 4])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    feed = {"x": np.zeros((1, channels, 2, 2), np.float32)}
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    by_runtime = session.run(None, feed)[0][0, :, 0, 0]
    try:
        return ReferenceEvaluator(model).run(None, feed)[0][0, :, 0, 0], by_runtime
    except ValueError as error:
        return f"ValueError: {error}", by_runtime


depthwise, by_runtime = draw(channels=3, groups=3)
grouped, grouped_by_runtime = draw(channels=4, groups=2)
print(f"3 channels, 3 groups: evaluator {depthwise}, ONNX Runtime {by_runtime}")
print(f"4 channels, 2 groups: evaluator {grouped}, ONNX Runtime {grouped_by_runtime}")
right = list(by_runtime) == [1, 2, 3] and list(grouped_by_runtime) == [1, 2, 3, 4]
if right and list(depthwise) == [1, 1, 1] and isinstance(grouped, str):
    print("As found: the evaluator is no judge of transposed convolutions with groups.")
else:
    sys.exit("CHANGED: the evaluator, or ONNX Runtime, draws something else now.")
PYTHON
