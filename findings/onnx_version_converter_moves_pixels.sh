#!/usr/bin/env bash
# onnx 1.23.2's version converter, asked to raise a file from opset 9 or 10 to 11 or later, writes its `Upsample` or `Resize` as a
# `Resize` that takes other pixels: the old ones count from a pixel's corner, and the new one is left with its default, which
# counts from the middle. No error, no warning, and the file is valid. Bilinear maps of twice the size are all other numbers; the
# nearest pixel is the same for twice the size, and another for a third. Old exports of generators that upsample bilinearly meet
# it. ONNX's list of issues has a report of it (8480, of September 2026, open); it names `Resize` alone.
# Seen: [0, 4, 8, 12] to twice the length is 0 2 4 6 8 10 12 12 before, and 0 1 3 5 7 9 11 12 converted. With the attribute
# coordinate_transformation_mode "asymmetric" (and nearest_mode "floor") set behind the converter, it is as before.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, version_converter

CASES = {
    "Upsample of opset 9, linear, 2": (9, "Upsample", "linear", 4, 2.0),
    "Resize of opset 10, linear, 2": (10, "Resize", "linear", 4, 2.0),
    "Resize of opset 10, nearest, 2": (10, "Resize", "nearest", 4, 2.0),
    "Resize of opset 10, nearest, 1/3": (10, "Resize", "nearest", 9, 1 / 3),
}


def make_model(opset: int, kind: str, mode: str, length: int, scale: float) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", "scales"], ["y"], mode=mode)],
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 1, length])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1, round(length * scale)])],
        [numpy_helper.from_array(np.array([1, 1, 1, scale], np.float32), "scales")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=4)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x[None, None, None]})[0].ravel()


def resize(x: np.ndarray, mode: str, scale: float) -> np.ndarray:
    """As opsets 9 and 10 mean it: a pixel of the result stands at its number divided by the scale."""
    places = np.minimum(np.arange(round(len(x) * scale)) / scale, len(x) - 1)
    if mode == "nearest":
        return x[np.floor(places + 1e-6).astype(int)]
    return np.interp(places, np.arange(len(x)), x)


onnxruntime.set_default_logger_severity(3)
found = {}
for name, (opset, kind, mode, length, scale) in CASES.items():
    x = 4 * np.arange(length, dtype=np.float32)
    old = make_model(opset, kind, mode, length, scale)
    new = version_converter.convert_version(old, 18)
    onnx.checker.check_model(new, full_check=True)
    mended = onnx.ModelProto()
    mended.CopyFrom(new)
    (node,) = [node for node in mended.graph.node if node.op_type == "Resize"]
    node.attribute.append(helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
    if mode == "nearest":
        node.attribute.append(helper.make_attribute("nearest_mode", "floor"))
    expected = resize(x, mode, scale)
    found[name] = [bool(np.allclose(run(model, x), expected, atol=1e-4)) for model in (old, new, mended)]
    print(f"{name}: as it is {run(old, x).tolist()}, converted {run(new, x).tolist()}")
    print("    right as it is, converted, mended:", *found[name])
if list(found.values()) == [[True, False, True], [True, False, True], [True, True, True], [True, False, True]]:
    print("As found: set the attribute behind the converter.")
else:
    sys.exit(f"CHANGED: {found}")
PYTHON
