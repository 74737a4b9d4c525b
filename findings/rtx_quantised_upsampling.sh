#!/usr/bin/env bash
# TensorRT-RTX 1.7.1 builds a quantised Conv as an Int8 kernel, and a quantised ConvTranspose, without a word, as a
# Float kernel, before which a further kernel unpacks the 8-bit weights in every run. The parsed network shows no
# difference: only the list of layers that a detailed build logs does. So quantising the up-sampling layers of a
# generator adds work to them, and saves none. No GPU is needed to see it.
# Seen for SM 8.9: 'correlation' with Int8 input, 'deconv' with Float input.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 tensorrt-rtx==1.7.1.116
"$folder/venv/bin/python" - <<'PYTHON'
import re
import sys

import numpy as np
import onnx
import tensorrt_rtx as trt
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 64


def write_model(operator: str) -> bytes:
    """A convolution with quantised input and weights; weights have a scale for each output channel."""
    weights = np.random.default_rng(0).integers(-127, 128, (CHANNELS, CHANNELS, 3, 3), np.int8)
    values = {
        "w8": weights,
        "w_scale": np.full(CHANNELS, 0.01, np.float32),
        "w_zero": np.zeros(CHANNELS, np.int8),
        "x_scale": np.float32(0.05),
        "x_zero": np.int8(0),
    }
    transposed = operator == "ConvTranspose"
    window = {"strides": [2, 2]} if transposed else {"pads": [1] * 4}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["x8"]),
        helper.make_node("DequantizeLinear", ["x8", "x_scale", "x_zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["w8", "w_scale", "w_zero"], ["wq"], axis=int(transposed)),
        helper.make_node(operator, ["xq", "wq"], ["y"], **window),
    ]
    side = 65 if transposed else 32
    graph = helper.make_graph(
        nodes,
        "quantised",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, CHANNELS, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CHANNELS, side, side])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


class Log(trt.ILogger):
    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.lines: list[str] = []

    def log(self, severity: trt.ILogger.Severity, message: str) -> None:
        self.lines.append(message)


def list_layers(operator: str) -> dict[str, str]:
    """Kind of each layer of the engine, and the type of its first input."""
    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(write_model(operator)):
        sys.exit(f"CHANGED: the parser refuses it: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    if builder.build_serialized_network(network, config) is None:
        sys.exit(f"CHANGED: {operator} is not built.")
    listed = "\n".join(log.lines).rpartition("Layers:")[2].partition("I/O Tensors:")[0]
    kinds = re.findall(r"LayerType: (\w+), Inputs: \[ \{.*?Datatype: (\w+)", listed)
    return dict(kinds)


same, up = list_layers("Conv"), list_layers("ConvTranspose")
print(f"TensorRT-RTX {trt.__version__}: Conv {same}, ConvTranspose {up}")
if same.get("correlation") == "Int8" and up.get("deconv") == "Float":
    print("As found: write up-sampling as a 2x2 Conv and DepthToSpace where it shall run in Int8.")
else:
    sys.exit("CHANGED: the types of the kernels are others now.")
PYTHON
