"""The float32 synthesis graph of a bundle as INT8 starts from it: opened again for each variant."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
from onnx.external_data_helper import load_external_data_for_model

from stylert.export.int8.convolutions import Convolution, find_convolutions
from stylert.runtime.backends.tensorrt.refit_weights import with_float32_weights
from stylert.runtime.bundle import Bundle

__all__ = ["SourceGraph"]


class SourceGraph:
    """A graph with the shapes of all its values, and its weights in float32, however stored.

    Args:
        bundle: an opened bundle.
    """

    def __init__(self, bundle: Bundle) -> None:
        path: Path = bundle.file("synthesis")
        stored = onnx.load_model_from_string(with_float32_weights(path))
        load_external_data_for_model(stored, str(path.parent))
        self._proto = onnx.shape_inference.infer_shapes(stored)
        self.convolutions: tuple[Convolution, ...] = tuple(find_convolutions(self.open().graph))

    def open(self) -> ir.Model:
        """The graph, to be changed; its weights are shared."""
        return ir.from_proto(self._proto)
