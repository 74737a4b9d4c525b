"""The OpenVINO backend: a bundle's graphs in float32 or INT8, on the device that was asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from stylert.runtime.backends.int8_layout import SAFE
from stylert.runtime.backends.openvino.compiled_graph import CompiledGraph, Device
from stylert.runtime.backends.openvino.kept_graphs import KeptGraphs
from stylert.runtime.backends.openvino.library import check_device, failing, import_openvino
from stylert.runtime.backends.openvino.small_weights import warn_of_small_weights
from stylert.runtime.backends.processor import multiplies_bytes, processor_features
from stylert.runtime.bundle import ENCODER, GRADIENT, Bundle, graph_key
from stylert.runtime.errors import EngineError
from stylert.runtime.feeds import Feeds
from stylert.runtime.machine import usable_cpus
from stylert.runtime.session import ANY_BATCH, DLPackArray, Graphs

__all__ = ["OpenVINOSession", "list_batches"]

# Larger batches save a quarter of the time at 64 pixels, and nothing from 256 on, where each size
# that is compiled takes hundreds of megabytes.
MOST_PIXELS = 2**18  # of all images of a batch
MOST_IMAGES = 8

# On a processor that has it, bfloat16 is the default: pictures are then 56 dB off.
_FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}


class OpenVINOSession:
    """A bundle's graphs in OpenVINO; a `Session`.

    Args:
        bundle: an opened bundle.
        device: 'cpu', 'gpu', 'npu', or one of several: 'gpu.1'.
        precision: 'fp32', 'fp16' for the bundle's half-precision graph, which is computed in
            float32, too, or 'int8' for that in 8 bits. A CPU that has no wide integer products gets
            smaller weights; a `StylertWarning` says what that costs, measured on it.
        threads: threads of one call on the CPU, None = all CPUs that this process may use.

    Raises:
        InvalidInput: `device` is no device's name, or the bundle has no half-precision graph.
        BundleError: a graph's tensors are not those of the manifest.
        MissingExtra: OpenVINO is not installed, or does not load.
        EngineError: there is no such device here, or a graph does not run on it.
    """

    max_batch = ANY_BATCH

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "cpu",
        precision: str = "fp32",
        threads: int | None = None,
    ) -> None:
        openvino = import_openvino()
        self.threads = usable_cpus() if threads is None else threads
        self.device = device
        self.precision = precision
        self._batches = list_batches(bundle)
        self._version = openvino.__version__.partition("-")[0]
        with failing("OpenVINO does not start"):
            core = openvino.Core()
            name = check_device(core, device)
            self._device_name = str(core.get_property(name, "FULL_DEVICE_NAME"))
        facts = {
            "openvino": openvino.__version__,
            "device": name,
            "device_name": self._device_name,
            "processor": processor_features(),
        }
        place, kept = Device(core, name, facts), KeptGraphs()
        most = 2 * len(self._batches)  # with noise that all images share, and with their own
        narrow = precision == "int8" and device == "cpu" and not multiplies_bytes()

        def opened(
            graph: str, threads: int, largest: int | None = None, copies: int = most
        ) -> CompiledGraph:
            options = self._options(threads)
            return CompiledGraph(bundle, graph, place, options, kept, copies, largest=largest)

        synthesis = graph_key("synthesis", precision)
        self._graphs = {
            "mapping": opened("mapping", 1),  # too small to gain from threads
            "synthesis": opened(synthesis, self.threads, SAFE if narrow else None),
        }
        self._largest = SAFE if narrow else None
        if narrow:
            exact = opened("synthesis", self.threads)
            warn_of_small_weights(bundle, self._graphs["mapping"], self._graphs["synthesis"], exact)
            exact.close()
        # Few ask for these. With different gradients asked for, there are as many graphs again. An
        # encoder may be large: one compiled graph, for the batch that came last.
        self._lock = threading.Lock()  # of their making
        self._open_asked = {
            GRADIENT: partial(opened, GRADIENT, self.threads, copies=2 * most),
            ENCODER: partial(opened, ENCODER, self.threads, copies=1),
        }

    def run(
        self, graphs: Graphs, feeds: Feeds, outputs: Sequence[str], *, on_device: bool = False
    ) -> Sequence[DLPackArray]:
        """Run graphs on the host's arrays; see `Session.run`."""
        if on_device and self.device != "cpu":
            raise EngineError(
                f"on_device: got True with OpenVINO's device {self.device!r}, whose pictures come "
                "to the host only, expected False."
            )
        whole = replace(feeds, rows=feeds.draw_rows(), noise=None)
        drawn = [self._run_part(graphs, part, outputs) for part in self._split(whole)]
        return drawn[0] if len(drawn) == 1 else list(map(np.concatenate, zip(*drawn, strict=True)))

    def refit(self, bundle: Bundle) -> None:
        """It cannot."""
        raise EngineError("refit: only the backend 'tensorrt' can do it; open the other bundle.")

    def describe(self) -> dict[str, Any]:
        """What runs where."""
        facts = {
            "backend": "openvino",
            "version": self._version,
            "device": self.device,
            "device_name": self._device_name,
            "precision": self.precision,
            "batches": list(self._batches),
        }
        if self._largest is not None:
            facts["largest_weight"] = self._largest
        return {**facts, "threads": self.threads} if self.device == "cpu" else facts

    def close(self) -> None:
        """Let go of the graphs; a call that still runs keeps its own until it is done."""
        for graph in self._graphs.values():
            graph.close()

    def _options(self, threads: int) -> dict[str, Any]:
        if self.device != "cpu":
            return dict(_FLOAT32)
        return {
            **_FLOAT32,
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_HYPER_THREADING": True,  # else it takes fewer threads than asked for
            "ENABLE_CPU_PINNING": False,  # else all processes would take the same CPUs
        }

    def _split(self, feeds: Feeds) -> Iterator[Feeds]:
        """The feeds of batches that are compiled, or will be, in order."""
        start = 0
        while start < feeds.count:
            size = max(size for size in self._batches if size <= feeds.count - start)
            yield feeds if size == feeds.count else feeds.take(slice(start, start + size))
            start += size

    def _run_part(self, graphs: Graphs, feeds: Feeds, outputs: Sequence[str]) -> list[np.ndarray]:
        arrays = {**feeds.rows, **feeds.constants}
        for graph in graphs[:-1]:
            (arrays["ws"],) = self._find_graph(graph).run(arrays, feeds.count, ["ws"])
        return self._find_graph(graphs[-1]).run(arrays, feeds.count, outputs)

    def _find_graph(self, graph: str) -> CompiledGraph:
        with self._lock:
            if graph not in self._graphs:
                self._graphs[graph] = self._open_asked[graph]()
            return self._graphs[graph]


def list_batches(bundle: Bundle) -> tuple[int, ...]:
    """The batches that a bundle's graphs are compiled for: 1, 2, ... up to the largest."""
    pixels = bundle.spec.img_height * bundle.spec.img_width
    most = max(1, min(MOST_IMAGES, MOST_PIXELS // pixels))
    return tuple(1 << i for i in range(most.bit_length()))
