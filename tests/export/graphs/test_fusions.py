"""What ONNX Runtime makes of our graphs: its fusions hang on the order of operands and of nodes.

Only operators that pass over pictures are counted, at the level whose result is the same on every
processor. One Mul or Clip more is a pass over all of a layer's pixels. Where a new version fuses
more, take its numbers; where it fuses less, find out why.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from stylert.export.checkpoints import read_checkpoint
from stylert.export.families import build_synthesis_graph
from stylert.export.graphs.mapping import build_mapping_graph
from stylert.export.onnx_graph import GraphBuilder

COSTLY = (
    *("Conv", "FusedConv", "ConvTranspose", "Mul", "Add", "Clip", "LeakyRelu", "MatMul"),
    *("Gemm", "FusedGemm", "FusedMatMul", "DepthToSpace", "InstanceNormalization", "Transpose"),
)

# The clamp of an image is within its convolution, and of a StyleGAN3 all but two: those of the last
# layer, which has no filter, and of the bytes.
SYNTHESIS = {
    "sg1-tf-32.pkl": "11 Conv, 3 ConvTranspose, 17 Mul, 19 Add, 1 Clip,"
    " 8 LeakyRelu, 2 MatMul, 8 InstanceNormalization, 2 Transpose",
    "sg2-skip-32.pkl": "11 Conv, 6 ConvTranspose, 28 Mul, 22 Add, 1 Clip,"
    " 7 LeakyRelu, 4 MatMul, 2 Transpose",
    "sg2-resnet-32.pkl": "14 Conv, 3 ConvTranspose, 25 Mul, 22 Add, 1 Clip,"
    " 7 LeakyRelu, 4 MatMul, 3 DepthToSpace, 2 Transpose",
    "sg2-hot-64.pkl": "9 Conv, 5 FusedConv, 8 ConvTranspose, 35 Mul, 27 Add,"
    " 10 Clip, 9 LeakyRelu, 4 MatMul, 2 Transpose",
    "sg3-t-64.pkl": "215 Conv, 161 FusedConv, 54 Mul, 158 Add, 2 Clip,"
    " 33 MatMul, 1 Gemm, 2 DepthToSpace, 2 Transpose",
    "field/luci16attn.pt": "24 Conv, 2 FusedConv, 38 Mul, 33 Add, 1 Clip,"
    " 6 LeakyRelu, 7 MatMul, 2 FusedMatMul, 3 Transpose",
}
MAPPING = "2 Mul, 2 Add, 8 FusedGemm"


def count_operators(graph: GraphBuilder, folder: Path) -> str:
    """The costly operators of what ONNX Runtime runs."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    graph.save(folder / "graph.onnx")
    onnxruntime.InferenceSession(
        str(folder / "graph.onnx"), options, providers=["CPUExecutionProvider"]
    )
    found = Counter(node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node)
    return ", ".join(f"{found[name]} {name}" for name in COSTLY if found[name])


@pytest.mark.parametrize("golden", SYNTHESIS)
def test_synthesis_graphs_are_fused(goldens: Path, tmp_path: Path, golden: str) -> None:
    checkpoint = read_checkpoint(goldens / golden)
    found = count_operators(build_synthesis_graph(checkpoint), tmp_path)
    assert found == SYNTHESIS[golden]


def test_mapping_graphs_are_fused(goldens: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(goldens / "sg2-skip-32.pkl")
    assert count_operators(build_mapping_graph(checkpoint), tmp_path) == MAPPING


def test_a_constant_belongs_behind_a_convolution(tmp_path: Path) -> None:
    """Why the order matters: a factor in front of it stays a product of its own."""
    counted = []
    for constant_first in (False, True):
        graph = GraphBuilder("scaled")
        x = graph.input("x", ["N", 8, 4, 4])
        weight = graph.constant("weight", np.ones((8, 8, 1, 1)))
        y = graph.op("Conv", x, weight, name="conv", kernel_shape=[1, 1])
        pair = [y, graph.constant("factors", np.full((8, 1, 1), 2.0))]
        y = graph.op("Mul", *(pair[::-1] if constant_first else pair), name="scale")
        graph.output(y, "y", "float32", ["N", 8, 4, 4])
        counted.append(count_operators(graph, tmp_path))
    assert counted == ["1 Conv", "1 Conv, 1 Mul"]
