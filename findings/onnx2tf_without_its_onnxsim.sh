#!/usr/bin/env bash
# onnx2tf 2.6.9 starts the program `onnxsim` by its bare name. Where that is not on PATH, as when the onnx2tf of an
# environment that is not activated is called by its full path, it ends with the status 0 all the same, and its LiteRT file
# can compute something else: here y = Identity(Clip(Conv(x))), where another output doubles what the Clip gives, comes out
# doubled as well. With `-n` no word tells of it; without `-n` a traceback and a warning stand between other lines.
# Seen with onnxsim 0.6.5 and ai-edge-litert 2.1.2: both outputs are those of ONNX Runtime with onnxsim on PATH; without it
# y is twice as large. Needs Python 3.12 or 3.13. It installs what this run imports, and no more: 500 MB, a minute or two.
set -euo pipefail
for python in python3.12 python3.13 python3 none; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && break
done
[ "$python" != none ] || { echo "This finding needs Python 3.12 or 3.13 on the path: onnx2tf does." >&2; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps \
    onnx2tf==2.6.9 onnxsim==0.6.5 ai-edge-litert==2.1.2 onnxruntime==1.26.0 onnx==1.20.1 numpy==2.2.6 \
    opencv-python-headless==4.13.0.92 flatbuffers==25.12.19 protobuf==7.35.1 ml-dtypes==0.5.4 psutil==5.9.5 \
    sng4onnx==2.0.1 tqdm==4.67.1 rich==15.0.0 typing-extensions==4.16.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from onnx import TensorProto, helper, numpy_helper

BIN = Path(sys.executable).parent
RNG = np.random.default_rng(0)
X = (RNG.integers(-8, 9, size=(1, 3, 4, 4)) / 4).astype(np.float32)  # quarters: all sums are exact


def make_model() -> onnx.ModelProto:
    """y is the clipped map, and image is twice that, as integers with the channels last."""
    weight = RNG.integers(-2, 3, size=(3, 3, 1, 1)).astype(np.float32)
    values = {"weight": weight, "low": np.float32(-2), "high": np.float32(3), "two": np.float32(2)}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "weight"], ["map"]),
            helper.make_node("Clip", ["map", "low", "high"], ["clipped"]),
            helper.make_node("Mul", ["clipped", "two"], ["doubled"]),
            helper.make_node("Transpose", ["doubled"], ["channels_last"], perm=[0, 2, 3, 1]),
            helper.make_node("Cast", ["channels_last"], ["image"], to=TensorProto.INT32),
            helper.make_node("Identity", ["clipped"], ["y"]),
        ],
        "two_outputs",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 4, 4]),
            helper.make_tensor_value_info("image", TensorProto.INT32, [1, 4, 4, 3]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def convert_and_run(name: str, path: str) -> dict[str, np.ndarray]:
    """The outputs of the LiteRT file that onnx2tf, called by its full path, writes under this PATH."""
    onnx.save(MODEL, f"{name}.onnx")  # one for each run: onnx2tf writes into the file that it is given
    command = [BIN / "onnx2tf", "-i", f"{name}.onnx", "-o", name, "-n", "-kat", "x"]
    done = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    told = "onnxsim" in done.stdout + done.stderr
    print(f"{name}: status {done.returncode}, onnxsim named in its words: {told}")
    if done.returncode or told:
        sys.exit("CHANGED: onnx2tf fails, or says something of onnxsim.")
    return Interpreter(f"{name}/{name}_float32.tflite").get_signature_runner()(x=X)


MODEL = make_model()
session = onnxruntime.InferenceSession(MODEL.SerializeToString(), providers=["CPUExecutionProvider"])
y, image = session.run(["y", "image"], {"x": X})
folders = os.environ["PATH"].split(os.pathsep)
without = os.pathsep.join(each for each in folders if not shutil.which("onnxsim", path=each))
found = {}
for name, path in (("on_path", f"{BIN}{os.pathsep}{without}"), ("not_on_path", without)):
    got = convert_and_run(name, path)
    assert np.array_equal(got["image"], image), "the second output is right in both files"
    factors = [factor for factor in (1, 2) if np.array_equal(got["y"], factor * y)]
    found[name] = factors[0] if factors else None
    print(f"{name}: y is {found[name]} times that of ONNX Runtime; y[0,0,0] {got['y'][0, 0, 0]}, not {y[0, 0, 0]}")
if found == {"on_path": 1, "not_on_path": 2}:
    print("As found: put onnx2tf's environment on PATH, and compare what it writes with another runtime.")
else:
    sys.exit("CHANGED: y is another one now.")
PYTHON
