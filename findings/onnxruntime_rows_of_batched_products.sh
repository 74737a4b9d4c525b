#!/usr/bin/env bash
# ONNX Runtime 1.31.1 on an x86 processor rounds a batched MatMul (matrices of several axes on both sides) of one row in
# another way than that of several rows: a row's result depends on how many others are with it. With a matrix of two axes
# on the right it does not. So a batch of one gives other digits than the same row in a batch of four.
# Seen: batched, one row apart from four up to 5e-5 (of results about 20), two as four; two axes, one as four, bit by bit.
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

if platform.machine() not in ("x86_64", "AMD64"):
    sys.exit("This finding is of x86 processors: others have other kernels.")

ROWS, INNER, WIDTH = 4, 512, 32


def measure(*batch: int) -> tuple[float, float]:
    """How far rows by themselves, and pairs of them, are from the same rows together."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(*batch, INNER, WIDTH)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "matrix"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [*batch, "M", INNER])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [*batch, "M", WIDTH])],
        [numpy_helper.from_array(matrix, "matrix")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = rng.normal(size=(*batch, ROWS, INNER)).astype(np.float32)
    together = session.run(None, {"x": x})[0]

    def draw(count: int) -> np.ndarray:
        parts = [x[..., i : i + count, :] for i in range(0, ROWS, count)]
        return np.concatenate([session.run(None, {"x": part})[0] for part in parts], axis=-2)

    return float(np.abs(draw(1) - together).max()), float(np.abs(draw(2) - together).max())


alone, pairs = measure(3)
flat_alone, flat_pairs = measure()
print(f"onnxruntime {onnxruntime.__version__}, largest difference from four rows together:")
print(f"batched: one row {alone:.1e}, two {pairs:.1e}; two axes: one {flat_alone:.1e}, two {flat_pairs:.1e}")
if alone > 0 and (pairs, flat_alone, flat_pairs) == (0, 0, 0):
    print("As found: keep the rows of a batched product a number of their own, or its matrix of two axes.")
else:
    sys.exit("CHANGED: ONNX Runtime multiplies rows in another way now.")
PYTHON
