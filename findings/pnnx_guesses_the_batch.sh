#!/usr/bin/env bash
# ncnn has no axis for a batch, so pnnx leaves one out where it believes in one. It decides that by the layers that follow:
# with a Conv behind it, the first axis of the input is a batch, and all axes in the file that it writes count without it;
# without a Conv it is an axis like others. The ONNX files state the same input and cut the same channels of it, and
# neither cut.ncnn.param nor pnnx's exit status or words tell which it is. Fed in the other way, the first network returns
# the status 0 and other numbers: it cuts rows instead of channels.
# Seen with pnnx 20261020 and ncnn 1.0.20261020: the axis of `Crop` is 1 without a Conv, and 0 with one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
    numpy==2.4.6 onnx==1.19.1 ncnn==1.0.20261020
"$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps pnnx==20261020  # its program needs no PyTorch
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import sys
import sysconfig
from pathlib import Path

import ncnn
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

X = np.arange(64, dtype=np.float32).reshape(1, 4, 4, 4)
EXPECTED = X[:, 1:3]  # two channels of four


def write_model(name: str, with_conv: bool) -> None:
    """Two channels of x, through a Conv that changes nothing or not."""
    values = {"start": np.array([1]), "end": np.array([3]), "axis": np.array([1])}
    nodes = [
        helper.make_node("Relu", ["x"], ["positive"]),
        helper.make_node("Slice", ["positive", *values], ["channels" if with_conv else "y"]),
    ]
    if with_conv:
        values["weight"] = np.eye(2, dtype=np.float32)[:, :, None, None]
        nodes.append(helper.make_node("Conv", ["channels", "weight"], ["y"]))
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, EXPECTED.shape)],
        [numpy_helper.from_array(value, key) for key, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, f"{name}.onnx")


def run(name: str, has_batch: bool) -> str:
    """What ncnn gives of x with its first axis as a batch or not: right, wrong or refused."""
    net = ncnn.Net()
    net.load_param(f"{name}.ncnn.param")
    net.load_model(f"{name}.ncnn.bin")
    extractor = net.create_extractor()
    extractor.input("in0", (ncnn.Mat(X, batch_index=0) if has_batch else ncnn.Mat(X)).clone())
    status, y = extractor.extract("out0")
    if status:
        return "refused"
    return "right" if np.array_equal(np.array(y).ravel(), EXPECTED.ravel()) else "wrong, status 0"


found = {}
for name, with_conv in (("without_conv", False), ("with_conv", True)):
    write_model(name, with_conv)
    pnnx = Path(sysconfig.get_path("purelib")) / "pnnx" / "pnnx"
    command = [pnnx, f"{name}.onnx", "inputshape=[1,4,4,4]", "fp16=0"]
    subprocess.run(command, check=True, capture_output=True)
    found[name] = run(name, has_batch=True), run(name, has_batch=False)
    print(f"{name}: with a batch {found[name][0]}, without one {found[name][1]}")
if found["without_conv"] == ("wrong, status 0", "right") and found["with_conv"][0] == "right":
    print("As found: compare what ncnn gives with another runtime before you trust how you feed it.")
else:
    sys.exit("CHANGED: pnnx or ncnn takes the batch in another way now.")
PYTHON
