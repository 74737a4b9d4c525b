#!/usr/bin/env bash
# Weights stored as integers, with a Cast to float behind them, are valid ONNX. `float16.convert_float_to_float16` of
# onnxconverter-common 1.16.0 renames the type of what a Cast gives to half, and leaves the Cast's own "to" at float32: it
# writes a file that no checker and no ONNX Runtime accepts, without a word. The function of the same name inside ONNX
# Runtime (onnxruntime.transformers.float16), a copy of it, mends the "to" and is right.
# Seen: checker and ONNX Runtime refuse the first file; the second one passes both.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1 onnxconverter-common==1.16.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxconverter_common import float16 as common
from onnxruntime.transformers import float16 as own

onnxruntime.set_default_logger_severity(3)


def make_model() -> onnx.ModelProto:
    """A convolution whose weights are int8 numbers with a scale for each output channel."""
    rng = np.random.default_rng(0)
    whole = rng.integers(-127, 128, size=(8, 8, 3, 3)).astype(np.int8)
    scale = np.full((8, 1, 1, 1), 0.01, np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["whole"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["numbers", "scale"], ["weight"]),
            helper.make_node("Conv", ["x", "weight"], ["y"], pads=[1] * 4),
        ],
        "stored",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 8, 8])],
        [numpy_helper.from_array(whole, "whole"), numpy_helper.from_array(scale, "scale")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def is_accepted(load: Callable[[], object]) -> bool:
    """Whether this reads the model without an error."""
    try:
        load()
    except Exception as error:  # Each library has errors of its own.
        print(f"    {str(error).strip()}")
        return False
    return True


def judge(name: str, convert: Callable[[onnx.ModelProto], onnx.ModelProto]) -> tuple[bool, bool]:
    """Whether onnx's checker and ONNX Runtime accept what the converter wrote."""
    half = convert(make_model())
    checked = is_accepted(lambda: onnx.checker.check_model(half, full_check=True))
    loaded = is_accepted(
        lambda: onnxruntime.InferenceSession(half.SerializeToString(), providers=["CPUExecutionProvider"])
    )
    print(f"{name}: checker {checked}, ONNX Runtime {loaded}")
    return checked, loaded


broken = judge("onnxconverter-common 1.16.0", common.convert_float_to_float16)
right = judge(f"onnxruntime {onnxruntime.__version__}", own.convert_float_to_float16)
if broken == (False, False) and right == (True, True):
    print("As found: take ONNX Runtime's copy of the converter.")
else:
    sys.exit("CHANGED: other files are accepted now.")
PYTHON
