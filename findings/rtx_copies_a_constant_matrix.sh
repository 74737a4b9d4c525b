#!/usr/bin/env bash
# One matrix for each of L layers, times a row of each picture: [L, N, 1, K] by [L, 1, K, K] and [N, L, 1, K] by [L, K, K] are
# the same products in another order. Of the first TensorRT-RTX 1.7.1 builds one 'gemm'. For the second, where the batch
# N is the first axis, it builds a further kernel '__myl_Repl' in front that writes the constant matrices N times into
# memory in every run, although a broadcast constant needs no copy. Nothing but the list of layers of a detailed build tells it.
# No GPU is needed to see it. Seen for SM 8.9.
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

LAYERS, WIDTH = 4, 256


def write_model(batch_first: bool) -> bytes:
    """A batched product of a free batch N by constant matrices."""
    rows = ["N", LAYERS, 1, WIDTH] if batch_first else [LAYERS, "N", 1, WIDTH]
    shape = (LAYERS, WIDTH, WIDTH) if batch_first else (LAYERS, 1, WIDTH, WIDTH)
    matrices = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "matrices"], ["y"])],
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, rows)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, rows)],
        [numpy_helper.from_array(matrices, "matrices")],
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


def list_layers(batch_first: bool) -> list[str]:
    """The names of the layers of the engine for 1 to 8 pictures."""
    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse(write_model(batch_first)):
        sys.exit(f"CHANGED: the parser refuses it: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    profile = builder.create_optimization_profile()
    sizes = [[n, LAYERS, 1, WIDTH] if batch_first else [LAYERS, n, 1, WIDTH] for n in (1, 4, 8)]
    profile.set_shape("x", *sizes)
    config.add_optimization_profile(profile)
    if builder.build_serialized_network(network, config) is None:
        sys.exit("CHANGED: the product is not built.")
    listed = "\n".join(log.lines).rpartition("Layers:")[2].partition("I/O Tensors:")[0]
    return re.findall(r"Name: (\S+), LayerType: (?!shape_call)\w+", listed)


layers_first, batch_first = list_layers(False), list_layers(True)
print(f"TensorRT-RTX {trt.__version__}: [L, N, 1, K] {layers_first}, [N, L, 1, K] {batch_first}")
copies = [name for name in batch_first if "Repl" in name]
if len(layers_first) == 1 and len(batch_first) == 2 and copies:
    print("As found: put the axis of the layers in front of the batch in products by constants.")
else:
    sys.exit("CHANGED: other kernels are built now.")
PYTHON
