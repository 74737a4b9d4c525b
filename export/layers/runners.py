"""What draws the layers: ONNX Runtime and the PyTorch reference, as runners of Polygraphy.

All give the same: by a layer's name, what it hands on. Polygraphy runs one after the other with the
same inputs; a runner of an engine is made by `stylert.engines.layer_runner`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from polygraphy.backend.base import BaseRunner
from polygraphy.backend.onnx import BytesFromOnnx, ModifyOutputs
from polygraphy.backend.onnxrt import OnnxrtRunner
from polygraphy.common import TensorMetadata
from polygraphy.exception import PolygraphyException
from polygraphy.logger import G_LOGGER
from torch import Tensor, nn

from stylert.export.checkpoints import Checkpoint
from stylert.export.families import build_model
from stylert.export.graph_session import open_session
from stylert.export.graphs.emitter import name_noise
from stylert.export.layers.graph_layers import find_layer_values
from stylert.runtime.bundle import TensorSpec
from stylert.runtime.errors import EngineError
from stylert.runtime.transforms import TRANSFORM

__all__ = ["GraphRunner", "ReferenceRunner", "quiet"]

Arrays = Mapping[str, np.ndarray]

OUTPUTS = {"mapping": "ws", "synthesis": "img"}  # what a whole network hands on


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Polygraphy's log to itself, and make one line of its errors.

    Raises:
        EngineError: a runner failed.
    """
    with G_LOGGER.verbosity(G_LOGGER.CRITICAL + 1):
        try:
            yield
        except PolygraphyException as error:
            reason = " ".join(str(error).split())
            raise EngineError(f"Polygraphy: {reason:.300}") from None


class GraphRunner(OnnxrtRunner):  # type: ignore[misc]
    """ONNX Runtime on a graph that gives all its layers: so it fuses nothing across them.

    Args:
        name: of the column.
        path: of the graph.
        threads: CPU threads, None = all.
    """

    def __init__(self, name: str, path: Path, *, threads: int | None = None) -> None:
        self._model = onnx.load(path)
        self._threads = threads
        self.values = find_layer_values(self._model)
        super().__init__(self._open, name)

    def infer_impl(self, feed_dict: Arrays) -> dict[str, np.ndarray]:
        """What each layer hands on, [N, ...]."""
        values = super().infer_impl(feed_dict)
        return {layer: values[value] for layer, value in self.values.items()}

    def _open(self) -> Any:
        """The session, made when the runner is activated."""
        marked = ModifyOutputs(self._model, outputs=list(self.values.values()))
        return open_session(BytesFromOnnx(marked)(), threads=self._threads)


class ReferenceRunner(BaseRunner):  # type: ignore[misc]
    """The reference in one precision.

    Args:
        name: of the column.
        checkpoint: the generator, its weights as the bundle stores them.
        graph: 'mapping' or 'synthesis'.
        inputs: of the graph.
        layers: that are wanted; others are forgotten at once.
        dtype: of all that it computes.
    """

    def __init__(
        self,
        name: str,
        checkpoint: Checkpoint,
        graph: str,
        inputs: Sequence[TensorSpec],
        layers: Collection[str],
        dtype: torch.dtype,
    ) -> None:
        super().__init__(name)
        self._network = getattr(build_model(checkpoint).to(dtype=dtype), graph)
        self._inputs = inputs
        self._layers = layers
        self._dtype = dtype
        self._noise = {name_noise(layer): layer for layer in checkpoint.noise}
        self._values: dict[str, Tensor] = {}
        for layer, module in self._network.named_modules():
            module.register_forward_hook(partial(self._keep, layer or OUTPUTS[graph]))

    def get_input_metadata_impl(self) -> TensorMetadata:
        """The inputs of the graph."""
        metadata = TensorMetadata()
        for spec in self._inputs:
            metadata.add(spec.name, np.dtype(spec.dtype), spec.shape)
        return metadata

    def infer_impl(self, feed_dict: Arrays) -> dict[str, np.ndarray]:
        """What each layer hands on, [N, ...]."""
        inputs = {name: torch.from_numpy(x).to(self._dtype) for name, x in feed_dict.items()}
        self._values = {}
        with torch.inference_mode():
            self._call(inputs)
        self.inference_time = 0.0  # nobody asks
        return {layer: value.numpy() for layer, value in self._values.items()}

    def _call(self, inputs: Mapping[str, Tensor]) -> None:
        if "z" in inputs:
            psi = inputs["truncation_psi"]
            self._network(inputs["z"], inputs.get("c"), truncation_psi=psi)
            return
        options: dict[str, Any] = {}
        if noise := {self._noise[name]: x for name, x in inputs.items() if name in self._noise}:
            options["noise"] = noise
        if TRANSFORM in inputs:
            options["transform"] = inputs[TRANSFORM]
        self._network(inputs["ws"], **options)

    def _keep(self, layer: str, module: nn.Module, inputs: Any, output: Any) -> None:
        """Keep what a module returned, under the name that the graph has for it."""
        if isinstance(output, tuple):  # a block of StyleGAN2: both of its branches
            x, img = output
            self._add(f"{layer}.skip", x)
            self._add(f"{layer}.torgb", img)
        elif not layer.endswith(".torgb"):  # that of a block, which the graph adds to the image
            self._add(layer, output)

    def _add(self, layer: str, value: Tensor | None) -> None:
        if layer in self._layers and value is not None:
            self._values[layer] = value
