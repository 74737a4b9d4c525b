#!/usr/bin/env bash
# OpenVINO 2026.4.1 on an x86 processor makes other kernels for a graph whose batch axis is free than for the same
# graph with a number there: what stands between two convolutions is compiled for it only where all shapes are known,
# else it runs in ready-made kernels. A range for the axis (1 to 8) does not help.
# A StyleGAN2 of 256 pixels took 1.3 times as long with the free axis, one of 1024 pixels 1.8 times.
# Seen: compiled 'Subgraph' kernels with a batch of 4, single 'Eltwise' kernels with 1..8 and with a free axis.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 openvino==2026.4.1
"$folder/venv/bin/python" - <<'PYTHON'
import platform
import sys
from collections import Counter

import numpy as np
import onnx
import openvino as ov
from onnx import TensorProto, helper, numpy_helper

if platform.machine() not in ("x86_64", "AMD64"):
    sys.exit("This finding is of x86 processors: others have another plug-in.")

CHANNELS, SIZE, LAYERS = 32, 32, 3


def write_model() -> bytes:
    """Convolutions whose input and output are scaled by factors of each picture."""
    nodes, weights, factors, last = [], [], [], "x"
    rng = np.random.default_rng(0)
    for k in range(LAYERS):
        weight = rng.normal(size=(CHANNELS, CHANNELS, 3, 3)).astype(np.float32) / 17
        weights.append(numpy_helper.from_array(weight, f"w{k}"))
        factors += [f"s{k}", f"d{k}"]
        nodes += [
            helper.make_node("Mul", [last, f"s{k}"], [f"styled{k}"]),
            helper.make_node("Conv", [f"styled{k}", f"w{k}"], [f"c{k}"], pads=[1] * 4),
            helper.make_node("Mul", [f"c{k}", f"d{k}"], [f"demodulated{k}"]),
            helper.make_node("LeakyRelu", [f"demodulated{k}"], [f"y{k}"], alpha=0.2),
        ]
        last = f"y{k}"
    shape = ["N", CHANNELS, SIZE, SIZE]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    inputs += [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", CHANNELS, 1, 1])
        for name in factors
    ]
    output = helper.make_tensor_value_info(last, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "styled", inputs, [output], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def count_kernels(batch: int | ov.Dimension | None) -> Counter[str]:
    """Kinds of the kernels that OpenVINO compiles for a batch; None leaves the axis free."""
    core = ov.Core()
    model = core.read_model(write_model())
    if batch is not None:
        model.reshape(
            {
                port.get_any_name(): [batch, *list(port.get_partial_shape())[1:]]
                for port in model.inputs
            }
        )
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kinds = (op.get_rt_info()["layerType"].astype(str) for op in compiled.get_runtime_model().get_ops())
    return Counter(kind for kind in kinds if kind in ("Subgraph", "Eltwise"))


fixed, bounded, free = count_kernels(4), count_kernels(ov.Dimension(1, 8)), count_kernels(None)
print(f"openvino {ov.__version__}: batch 4 {dict(fixed)}, 1..8 {dict(bounded)}, free {dict(free)}")
if fixed["Subgraph"] and not fixed["Eltwise"] and bounded == free and free["Eltwise"]:
    print("As found: compile one model for each batch size that is used.")
else:
    sys.exit("CHANGED: OpenVINO makes other kernels now.")
PYTHON
