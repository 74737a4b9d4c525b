"""Graphs as a site sends them: large weights apart, as 16-bit integers with factors.

The page unpacks them into the float32 numbers that the graph takes as external data, before it
opens the graph: all mathematics are in float32, and as fast as with a file twice as large. Nodes
of the graph cannot unpack them everywhere: onnxruntime-web on WebGPU has no Cast of integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stylert.runtime.errors import BundleError

if TYPE_CHECKING:
    import onnx

__all__ = ["LEVELS", "PackedGraph", "pack_graph"]

LARGE = 1024  # numbers: smaller constants stay in the graph
LEVELS = 32767  # of the integers on each side of 0
MAX_BYTES = 2**31 - 1  # of a graph: what browsers take, and what one file of ONNX holds
LOCATION = "weights"  # the name of the external data; the page gives the numbers for it


@dataclass(frozen=True)
class PackedGraph:
    """A graph without its large weights, and these.

    Attributes:
        model: the ONNX file; its external data are the unpacked weights, one behind the other.
        weights: of each large weight its int16 integers, and the float32 factors that they are
            multiplied by, of as many dimensions.
    """

    model: bytes
    weights: tuple[tuple[np.ndarray, np.ndarray], ...]


def pack_graph(path: Path) -> PackedGraph:
    """Split the graph of a file; needs the package onnx.

    Weights that the bundle stores as integers (`stylert export --weights int16`) stay these very
    integers, and what it keeps as float32 stays in the graph; those of other bundles are rounded.

    Raises:
        BundleError: it is too large for a browser.
    """
    import onnx

    beside = path.with_name(f"{path.name}.data")
    size = path.stat().st_size + (beside.stat().st_size if beside.exists() else 0)
    if size > 2 * MAX_BYTES:
        raise _too_large(path)
    model = onnx.load(path)
    found = _take_integers(model) or _take_floats(model)
    offset, weights = 0, []
    for name, (integers, factors) in found.items():
        model.graph.initializer.append(_refer_to(name, integers.shape, offset))
        weights.append((integers, factors))
        offset += 4 * integers.size
    if max(offset, model.ByteSize()) > MAX_BYTES:
        raise _too_large(path)
    return PackedGraph(model.SerializeToString(deterministic=True), tuple(weights))


def _take_integers(model: onnx.ModelProto) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Take out constants that a Cast and a Mul unpack, with both; by the name of the product."""
    from onnx import TensorProto, numpy_helper

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    casts = {node.output[0]: node for node in model.graph.node if node.op_type == "Cast"}
    found = {}
    for scale in [node for node in model.graph.node if node.op_type == "Mul"]:
        cast = casts.get(scale.input[0])
        stored = constants.get(cast.input[0]) if cast else None
        if cast is None or stored is None or stored.data_type != TensorProto.INT16:
            continue
        factors = constants[scale.input[1]]
        found[scale.output[0]] = numpy_helper.to_array(stored), numpy_helper.to_array(factors)
        for node in (cast, scale):
            model.graph.node.remove(node)
        for tensor in (stored, factors):
            model.graph.initializer.remove(tensor)
    return found


def _take_floats(model: onnx.ModelProto) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Take out large float32 constants, rounded to integers; by name."""
    from onnx import TensorProto, numpy_helper

    found = {}
    for tensor in [t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT]:
        array = numpy_helper.to_array(tensor)
        if array.size >= LARGE:
            found[tensor.name] = _to_int16(array)
            model.graph.initializer.remove(tensor)
    return found


def _to_int16(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest integers, and a float32 factor for each entry of the first axis."""
    rows = array.reshape(len(array), -1)
    factors = (np.abs(rows).max(1) / np.float32(LEVELS)).astype(np.float32)
    safe = np.where(factors > 0, factors, 1)[:, None]
    integers = np.rint(rows / safe).clip(-LEVELS, LEVELS).astype(np.int16)
    return integers.reshape(array.shape), factors.reshape(-1, *[1] * (array.ndim - 1))


def _refer_to(name: str, shape: tuple[int, ...], offset: int) -> onnx.TensorProto:
    """A float32 constant whose numbers lie in the external data."""
    from onnx import TensorProto

    tensor = TensorProto(name=name, dims=shape, data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    length = 4 * int(np.prod(shape))
    entries: dict[str, Any] = {"location": LOCATION, "offset": offset, "length": length}
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _too_large(path: Path) -> BundleError:
    return BundleError(
        f"{path}: its graph has more than 2 GB, which no browser opens. Serve it instead: stylert "
        f"serve {path.parent}"
    )
