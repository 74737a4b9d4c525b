"""A graph as TensorRT's own parser reads it: its outputs, batches, precision, and FP32 islands.

`trt` is the module of the compiler: `tensorrt` and `tensorrt_rtx` have the same classes. Networks
are strongly typed, so that the precision is that of the ONNX file, and no flag changes it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from stylert.runtime.backends.int8_layout import lay_out
from stylert.runtime.backends.tensorrt.refit_weights import with_float32_weights
from stylert.runtime.bundle import is_noise
from stylert.runtime.errors import EngineError

__all__ = ["ParsedGraph"]


class ParsedGraph:
    """A parsed graph. It keeps alive what the builder reads until the engine is built."""

    def __init__(
        self, trt: Any, builder: Any, logger: Any, path: Path, precision: str = "fp32"
    ) -> None:
        """Parse a file; one in 'int8' is laid out as TensorRT computes it in integers.

        Raises:
            EngineError: the parser refuses it; the message names the node.
        """
        self.trt = trt
        self.path = path
        self.builder = builder
        self.network = builder.create_network(
            1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        )
        self._parser = trt.OnnxParser(self.network, logger)
        self._weights: list[np.ndarray] = []
        data = with_float32_weights(path)
        if precision == "int8":
            with suppress(ValueError):  # who parses it knows best what to say of it
                data = lay_out(data)
        if not self._parser.parse(data, str(path)):
            raise self._make_refusal()

    def keep_outputs(self, names: Collection[str]) -> None:
        """Drop the other outputs, and with them what only they need."""
        network = self.network
        for tensor in [network.get_output(i) for i in range(network.num_outputs)]:
            if tensor.name not in names:
                network.unmark_output(tensor)
                self._retype(tensor)
        kept = {network.get_output(i).name for i in range(network.num_outputs)}
        if kept != set(names):
            raise self._make_error(f"got outputs {sorted(kept)}, expected {sorted(names)}.")

    def make_profile(self, batch: tuple[int, int, int]) -> Any:
        """The optimization profile of a (least, best, largest) batch.

        Noise is one for all images or one per image, in every profile.
        """
        profile = self.builder.create_optimization_profile()
        least, best, largest = batch
        for i in range(self.network.num_inputs):
            tensor = self.network.get_input(i)
            sizes = (1, 1, largest) if is_noise(tensor.name) else (least, best, largest)
            profile.set_shape(tensor.name, *((size, *tuple(tensor.shape)[1:]) for size in sizes))
        return profile

    def count_types(self) -> dict[str, dict[str, int]]:
        """How many convolutions and how many tensors have which type: the proof of precision."""
        tensors = Counter(
            layer.get_output(i).dtype.name
            for layer in self._list_layers()
            for i in range(layer.num_outputs)
        )
        convolutions = Counter(self._tell_types(layer)[0] for layer in self._list_convolutions())
        return {"convolutions": dict(convolutions), "tensors": dict(tensors)}

    def check_precision(self, precision: str, half_blocks: Collection[str] = ()) -> None:
        """Hold the convolutions to what the graph promises.

        Args:
            precision: 'fp16', 'fp32' or 'int8'. Of the last, the network only tells which
                convolutions have dequantised weights: see `list_quantised` and `built_layers`.
            half_blocks: blocks whose convolutions must be half in an fp16 graph, but for the
                upsampling of the RGB image, and what weighs an encoder's channels.

        Raises:
            EngineError: one computes in another type than its weights have, none is half in an
                fp16 graph, one is not that must be, or one is in an fp32 graph; or 8 bits are where
                they must not be, or nowhere.
        """
        quantised = self.list_quantised() if precision == "int8" else self._list_dequantised()
        if bool(quantised) != (precision == "int8"):
            raise self._make_error(
                f"got {len(quantised)} layers with values in 8 bits, expected "
                f"{'some' if precision == 'int8' else 'none'} in an {precision} graph."
            )
        half = 0
        must = tuple(f"{block}{end}" for block in half_blocks for end in "./")
        single = tuple(
            f"{block}{end}/" for block in half_blocks for end in (".upsample", "/excite")
        )
        for layer in self._list_convolutions():
            types = self._tell_types(layer)
            is_half = types[0] == "HALF"
            expected = layer.name.startswith(must) and not layer.name.startswith(single)
            if len(set(types)) != 1 or (expected and not is_half and precision == "fp16"):
                raise self._make_error(
                    f"{layer.name} has the types {', '.join(types)} (input, output, weights), "
                    f"expected {'HALF' if expected else 'one'}."
                )
            half += is_half
        if (half > 0) != (precision == "fp16"):
            raise self._make_error(
                f"got {half} convolutions in half precision, expected "
                f"{'some' if precision == 'fp16' else 'none'} in an {precision} graph."
            )

    def list_quantised(self) -> list[str]:
        """Names of the convolutions whose input and weight are both dequantised."""
        dequantised = set(self._list_dequantised())
        return [
            layer.name
            for layer in self._list_convolutions()
            if layer.num_inputs > 1 and {layer.get_input(i).name for i in (0, 1)} <= dequantised
        ]

    def _list_dequantised(self) -> list[str]:
        """Names of the tensors that were in 8 bits."""
        kind = self.trt.LayerType.DEQUANTIZE
        return [layer.get_output(0).name for layer in self._list_layers() if layer.type == kind]

    def find_half_convolutions(self, message: str) -> list[str]:
        """Names of the half-precision convolutions that a builder's message speaks of."""
        names = [
            layer.name
            for layer in self._list_convolutions()
            if self._tell_types(layer)[0] == "HALF"
        ]
        return [name for name in names if _mentions(name, message)]

    def make_island(self, name: str) -> None:
        """Let one half-precision convolution compute in float32, between two casts."""
        trt = self.trt
        layer = next(layer for layer in self._list_convolutions() if layer.name == name)
        output = layer.get_output(0)
        users = list(self._find_uses(output.name))
        layer.set_input(0, self._cast(layer.get_input(0), trt.DataType.FLOAT, f"{name}/island"))
        layer.kernel = self._keep_float32(layer.kernel)
        if layer.bias is not None and layer.bias.size:
            layer.bias = self._keep_float32(layer.bias)
        half = self._cast(output, trt.DataType.HALF, f"{name}/mainland")
        for user, index in users:
            user.set_input(index, half)

    def _retype(self, tensor: Any) -> None:
        """Make a tensor that nobody needs float32: uint8 is only allowed as an output."""
        for layer in self._list_layers():
            if layer.type == self.trt.LayerType.CAST and layer.get_output(0).name == tensor.name:
                layer.__class__ = self.trt.ICastLayer
                layer.to_type = self.trt.DataType.FLOAT

    def _cast(self, tensor: Any, dtype: Any, name: str) -> Any:
        layer = self.network.add_cast(tensor, dtype)
        layer.name = name
        return layer.get_output(0)

    def _keep_float32(self, weights: Any) -> np.ndarray:
        array = np.ascontiguousarray(weights, dtype=np.float32)
        self._weights.append(array)  # the network only points at it
        return array

    def _list_layers(self) -> Iterator[Any]:
        return (self.network.get_layer(i) for i in range(self.network.num_layers))

    def _list_convolutions(self) -> Iterator[Any]:
        trt = self.trt
        kinds = {
            trt.LayerType.CONVOLUTION: trt.IConvolutionLayer,
            trt.LayerType.DECONVOLUTION: trt.IDeconvolutionLayer,
        }
        for layer in self._list_layers():
            if layer.type in kinds:
                layer.__class__ = kinds[layer.type]  # the network only gives an ILayer
                yield layer

    def _find_uses(self, name: str) -> Iterator[tuple[Any, int]]:
        for layer in self._list_layers():
            for i in range(layer.num_inputs):
                tensor = layer.get_input(i)
                if tensor is not None and tensor.name == name:
                    yield layer, i

    def _tell_types(self, layer: Any) -> Sequence[str]:
        """Types of a convolution's input, output and weights."""
        kernel = {"float16": "HALF", "float32": "FLOAT"}.get(
            str(layer.kernel.dtype), str(layer.kernel.dtype)
        )
        return layer.get_input(0).dtype.name, layer.get_output(0).dtype.name, kernel

    def _make_refusal(self) -> EngineError:
        parser = self._parser
        if not parser.num_errors:
            return self._make_error("TensorRT's parser refuses the file and gives no reason.")
        parser_error = parser.get_error(0)
        reason = " ".join(parser_error.desc().split())
        return self._make_error(
            f"TensorRT's parser refuses node {parser_error.node_name()!r} "
            f"({parser_error.node_operator()}): {reason:.250}."
        )

    def _make_error(self, what: str) -> EngineError:
        return EngineError(f"{self.path.name}: {what} Export the checkpoint again.")


def _mentions(name: str, message: str) -> bool:
    # Parts of TensorRT write a node's name with '_' for '.'.
    pattern = re.escape(name).replace(r"\.", "[._]")
    return re.search(rf"(?<![\w/]){pattern}(?![\w/])", message) is not None
