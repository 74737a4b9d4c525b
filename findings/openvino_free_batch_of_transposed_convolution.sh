#!/usr/bin/env bash
# OpenVINO 2026.4.1 computes another `ConvTranspose` where the batch is free than where it is a number, if the node states the
# size of what comes out (`output_shape`, as TensorFlow's converter tf2onnx has written it, or `auto_pad` SAME_UPPER and
# SAME_LOWER) instead of pads: it has to find the pads itself, and does that while it reads the file, only where every axis of
# the input is known. The height and width, which it needs, are known in both files here. No error, no warning.
# Seen with x of 5 x 6 and a kernel of 3 x 3, strides 2: with `output_shape` the map comes out one pixel to the left of and
# above where it belongs; with SAME_UPPER and SAME_LOWER it has a row and a column too many. `pads` with `output_padding`, which
# PyTorch writes, is right in both files.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 openvino==2026.4.1
"$folder/venv/bin/python" - <<'PYTHON'
import platform
import sys

import numpy as np
import onnx
import openvino as ov
from onnx import TensorProto, helper, numpy_helper

if platform.machine() not in ("x86_64", "AMD64"):
    sys.exit("This finding was seen on x86 processors.")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(1, 8, 5, 6)).astype(np.float32)
WEIGHT = RANDOM.normal(size=(8, 4, 3, 3)).astype(np.float32)
# What a node says, and how many rows and columns ONNX takes from the beginning of the full 11 x 13: of the one that is too
# many, SAME_UPPER takes the last, all others the first.
NODES = {
    "pads and output_padding": ({"pads": [1, 1, 1, 1], "output_padding": [1, 1]}, 1),
    "output_shape": ({"output_shape": [10, 12]}, 1),
    "SAME_UPPER": ({"auto_pad": "SAME_UPPER"}, 0),
    "SAME_LOWER": ({"auto_pad": "SAME_LOWER"}, 1),
}


def make_model(attributes: dict, batch: int | str) -> bytes:
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], **attributes)
    graph = helper.make_graph(
        [node],
        "up",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 8, 5, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 4, 10, 12])],
        [numpy_helper.from_array(WEIGHT, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def compute_full_map() -> np.ndarray:
    """The transposed convolution with nothing cut, by its definition in doubles, and a row and a column of zeros behind it."""
    full = np.zeros((1, 4, 12, 14))
    for row in range(5):
        for column in range(6):
            spread = np.einsum("ni,iokl->nokl", X[:, :, row, column].astype(float), WEIGHT)
            full[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += spread
    return full


def run_openvino(model: bytes) -> np.ndarray:
    core = ov.Core()
    return core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})({"x": X})[0]


FULL = compute_full_map()
found = {}
for name, (attributes, begin) in NODES.items():
    for batch in (1, "N"):
        got = run_openvino(make_model(attributes, batch))
        height, width = got.shape[2:]
        fits = [at for at in (0, 1) if np.allclose(got, FULL[:, :, at : at + height, at : at + width], atol=1e-4)]
        right = (height, width) == (10, 12) and fits == [begin]
        found[name, batch] = "right" if right else f"{height}x{width} from {fits}"
        print(f"{name}, batch {batch}: {height} x {width} from row and column {fits} of the full map: {'right' if right else 'WRONG'}")
expected = dict.fromkeys(found, "right") | {
    ("output_shape", "N"): "10x12 from [0]",
    ("SAME_UPPER", "N"): "11x13 from [0]",
    ("SAME_LOWER", "N"): "11x13 from [0]",
}
if found == expected:
    print("As found: state the pads in the file, or fix the batch before OpenVINO reads it.")
else:
    sys.exit(f"CHANGED: {found}")
PYTHON
