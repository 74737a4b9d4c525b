#!/usr/bin/env bash
# OpenVINO 2026.4.1 reads ONNX's `Resize` and leaves out, without an error or a warning, `antialias`, `exclude_outside` and
# `keep_aspect_ratio_policy`. The first is what makes pictures smaller as Pillow does, in front of the networks that judge them,
# and PyTorch's exporter writes `interpolate(..., antialias=True)` so: the smaller picture comes out as if it were not there. The
# last gives another size. Axes that are named in another order are right.
# OpenVINO's list of issues has a report of the cubic mode with antialias (35893, of May 2026, open); it is all modes.
# Seen: rows of 0 and 1 in turns, made smaller by 4 (linear), are 0 everywhere, where ONNX says about a half; 9 x 10 for a picture
# of 6 x 8 that was to keep its proportions, where ONNX says 8 x 10 or 9 x 12.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino as ov
from onnx import TensorProto, helper, numpy_helper

STRIPES = np.tile(np.array([0, 1, 0, 1] * 4, np.float32)[:, None], (1, 1, 1, 16))  # rows of 0 and 1 in turns
SMOOTH = np.random.default_rng(0).normal(size=(1, 1, 6, 8)).astype(np.float32)
COORDINATES = {"coordinate_transformation_mode": "asymmetric"}
CASES = {
    "linear": (STRIPES, [4, 4], {"mode": "linear", **COORDINATES}),
    "linear, antialias": (STRIPES, [4, 4], {"mode": "linear", "antialias": 1, **COORDINATES}),
    "cubic": (STRIPES, [4, 4], {"mode": "cubic"}),
    "cubic, antialias": (STRIPES, [4, 4], {"mode": "cubic", "antialias": 1}),
    "cubic, exclude_outside": (SMOOTH, [12, 16], {"mode": "cubic", "exclude_outside": 1}),
    "stretched": (SMOOTH, [9, 10], {"mode": "linear"}),
    "not_larger": (SMOOTH, [9, 10], {"mode": "linear", "keep_aspect_ratio_policy": "not_larger"}),
    "not_smaller": (SMOOTH, [9, 10], {"mode": "linear", "keep_aspect_ratio_policy": "not_smaller"}),
    "axes in another order": (SMOOTH, [10, 9], {"mode": "linear", "axes": [3, 2]}),
}


def make_model(x: np.ndarray, sizes: list[int], attributes: dict) -> bytes:
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **{"axes": [2, 3], **attributes})
    graph = helper.make_graph(
        [node],
        "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * 4)],
        [numpy_helper.from_array(np.array(sizes), "sizes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def compare(x: np.ndarray, sizes: list[int], attributes: dict) -> tuple[bool, str]:
    """Whether OpenVINO gives what ONNX Runtime gives, and both in words."""
    model = make_model(x, sizes, attributes)
    expected = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    core = ov.Core()
    got = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({"x": x})[0]
    words = [f"{a.shape[2]} x {a.shape[3]}, middle {a[0, 0, a.shape[2] // 2, 0]:.3f}" for a in (got, expected)]
    same = got.shape == expected.shape and bool(np.allclose(got, expected, atol=1e-4))
    return same, f"{words[0]}; ONNX Runtime {words[1]}"


def weigh_by_hand() -> float:
    """The middle of the stripes with `antialias`, linear, by its definition: a triangle four times as wide, about row 8."""
    weights = np.maximum(0, 1 - np.abs(np.arange(16) - 8) / 4)
    return float(weights @ STRIPES[0, 0, :, 0].astype(float) / weights.sum())


found = {}
for name, case in CASES.items():
    found[name], words = compare(*case)
    print(f"{name}: {'same' if found[name] else 'OTHER'}: OpenVINO {words}")
print(f"linear, antialias, middle by hand: {weigh_by_hand():.3f}")
other = [name for name, same in found.items() if not same]
if other == ["linear, antialias", "cubic, antialias", "cubic, exclude_outside", "not_larger", "not_smaller"]:
    print("As found: make pictures smaller outside the graph, or by a convolution, and state the size.")
else:
    sys.exit(f"CHANGED: other numbers come of {other}.")
PYTHON
