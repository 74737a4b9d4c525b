"""One graph of a bundle in OpenVINO, compiled for exact shapes, once for each that is used.

With a batch that may vary, OpenVINO keeps its values in another layout than its convolutions take,
and moves them back and forth: that costs a fifth of the time at 256 pixels, and half of it at 1024.
A graph for one batch, with one size of noise and one output, has none of that.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stylert.runtime.backends.int8_layout import lay_out
from stylert.runtime.backends.openvino.kept_graphs import KeptGraphs, make_key
from stylert.runtime.backends.openvino.library import failing
from stylert.runtime.backends.tensor_check import check_tensors
from stylert.runtime.bundle import Bundle, is_noise
from stylert.runtime.errors import EngineError
from stylert.runtime.files.external_data import find_external_files
from stylert.runtime.files.listed import hash_file

__all__ = ["CompiledGraph", "Device"]

_DTYPES = {"f32": "float32", "u8": "uint8"}


@dataclass(frozen=True)
class Device:
    """Where OpenVINO runs.

    Attributes:
        core: OpenVINO's `Core`.
        name: 'CPU', 'GPU.1', ...
        facts: what a compiled graph depends on: versions, and what the device is.
    """

    core: Any
    name: str
    facts: Mapping[str, str]


class CompiledGraph:
    """A graph, opened when it is first run. Safe to call from several threads, one after another.

    Args:
        bundle: an opened bundle.
        graph: a key of its graphs.
        device: where it runs.
        options: of OpenVINO, for the compilation.
        kept: the folder of what was compiled before.
        most: compiled graphs in memory, each with weights of its own: those that were used last.
        largest: the largest integer of its weights, if it is laid out anew for a processor that has
            no wide integer products, see `int8_layout`; None = as it is.

    Raises:
        BundleError: its tensors are not those of the manifest.
        EngineError: OpenVINO cannot read it.
    """

    def __init__(
        self,
        bundle: Bundle,
        graph: str,
        device: Device,
        options: Mapping[str, Any],
        kept: KeptGraphs,
        most: int,
        *,
        largest: int | None = None,
    ) -> None:
        self._path = bundle.file(graph)
        self._spec = bundle.graphs[graph]
        self._device = device
        self._options = dict(options)
        self._kept = kept
        self._most = most
        self._lock = threading.Lock()
        self._requests: OrderedDict[Any, Any] = OrderedDict()  # by what they are compiled for
        with failing(f"OpenVINO cannot open {self._path.name}"):
            self._model = device.core.read_model(_find_source(self._path, largest))
            check_tensors(_list_tensors(self._model), self._spec, bundle)
        self._sha256 = _hash_graph(self._path)
        if largest is not None:
            self._sha256.append(f"weights up to {largest}")

    def run(
        self, arrays: Mapping[str, np.ndarray], count: int, outputs: Sequence[str]
    ) -> list[np.ndarray]:
        """The outputs for some images.

        Args:
            arrays: all inputs, by name; noise is [1, ...] or [count, ...].
            count: N, the images.
            outputs: their names.
        """
        noise = [name for name in self.inputs if is_noise(name)]
        own = count if any(len(arrays[name]) > 1 for name in noise) else 1
        feeds = {
            name: np.ascontiguousarray(_repeat(arrays[name], own if name in noise else count))
            for name in self.inputs
        }
        with self._lock, failing("OpenVINO failed"):
            request = self._request(count, own, tuple(outputs))
            request.infer(feeds, share_inputs=True)
            results = {name: request.get_tensor(name).data.copy() for name in outputs}
        for t in self._spec.outputs:  # what a file says of its shapes is but a hint
            if t.name in results and results[t.name].shape != (expected := (count, *t.shape[1:])):
                raise EngineError(
                    f"{t.name}: the graph gave the shape {results[t.name].shape}, expected "
                    f"{expected}. Export the checkpoint again."
                )
        return [results[name] for name in outputs]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(t.name for t in self._spec.inputs)

    def close(self) -> None:
        """Free its memory; a call that still runs keeps its own until it is done."""
        self._requests = OrderedDict()

    def _request(self, count: int, noise: int, outputs: tuple[str, ...]) -> Any:
        key = (count, noise, outputs)
        if key not in self._requests:
            while len(self._requests) >= self._most:
                self._requests.popitem(last=False)
            self._requests[key] = self._compile(count, noise, outputs).create_infer_request()
        self._requests.move_to_end(key)
        return self._requests[key]

    def _compile(self, count: int, noise: int, outputs: tuple[str, ...]) -> Any:
        """The graph for a batch, with [noise, 1, h, w] of noise, with these outputs alone."""
        shapes = {
            t.name: [noise if is_noise(t.name) else count, *t.shape[1:]] for t in self._spec.inputs
        }
        options = {name: str(value) for name, value in self._options.items()}
        key = make_key(
            graph=self._sha256,
            shapes=shapes,
            outputs=outputs,
            options=options,
            **self._device.facts,
        )
        core, name = self._device.core, self._device.name
        compiled = self._kept.open(
            key, lambda blob: core.import_model(blob, name, dict(self._options))
        )
        if compiled is None:
            model = self._model.clone()
            for result in list(model.get_results()):
                if not result.input(0).get_source_output().get_names() & {*outputs}:
                    model.remove_result(result)
            model.reshape(shapes)
            compiled = core.compile_model(model, name, dict(self._options))
            self._kept.keep(key, compiled.export_model().getvalue())
        self._check_is_as_asked(compiled)
        return compiled

    def _check_is_as_asked(self, compiled: Any) -> None:
        where = list(compiled.get_property("EXECUTION_DEVICES"))
        if len(where) != 1 or where[0].split(".")[0] != self._device.name.split(".")[0]:
            raise EngineError(f"device {self._device.name!r}: OpenVINO took {where} instead.")
        precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if precision != "f32":
            raise EngineError(
                f"device {self._device.name!r} computes in {precision}, expected float32."
            )


def _find_source(path: Path, largest: int | None) -> str | io.BytesIO:
    """The file, or what is laid out anew of it."""
    if largest is None:
        return str(path)
    return io.BytesIO(lay_out(path.read_bytes(), most=largest))


def _list_tensors(model: Any) -> dict[str, tuple[str, list[int | str]]]:
    """Dtype and shape of a model's inputs and outputs."""
    found: dict[str, tuple[str, list[int | str]]] = {}
    for port in (*model.inputs, *model.outputs):
        dtype = port.element_type.get_type_name()
        shape = [d.get_length() if d.is_static else "?" for d in port.partial_shape]
        found |= {name: (_DTYPES.get(dtype, dtype), shape) for name in port.get_names()}
    return found


def _hash_graph(path: Path) -> list[str]:
    """The SHA-256 of a graph's files: the weights may lie beside it. Read now, not believed."""
    beside = sorted(find_external_files(path))
    return [hash_file(path), *(hash_file(path.parent / name) for name in beside)]


def _repeat(array: np.ndarray, count: int) -> np.ndarray:
    """A row for each of `count`."""
    return array if len(array) == count else np.broadcast_to(array, (count, *array.shape[1:]))
