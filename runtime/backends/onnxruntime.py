"""The ONNX Runtime backend: CPU and CUDA execution providers, never one in place of the other."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stylert.runtime.backends.graph_forms import find_encoder, find_synthesis
from stylert.runtime.backends.onnxruntime_package import (
    PROVIDERS,
    available_providers,
    check_provider,
    give_back_memory,
    import_onnxruntime,
    list_tensors,
    make_options,
    tell_line,
)
from stylert.runtime.backends.tensor_check import check_tensors
from stylert.runtime.bundle import ENCODER, GRADIENT, Bundle, TensorSpec, graph_key
from stylert.runtime.errors import EngineError, InvalidInput, StylertError
from stylert.runtime.feeds import Feeds
from stylert.runtime.machine import usable_cpus
from stylert.runtime.session import ANY_BATCH, DLPackArray, Graphs

if TYPE_CHECKING:
    from stylert.runtime.backends.cuda.device import Device
    from stylert.runtime.backends.cuda.launch_timer import LaunchTimer
    from stylert.runtime.backends.cuda.onnxruntime_outputs import BoundOutputs

__all__ = ["OnnxRuntimeSession"]

# By default float32 has only the 10 bits of TF32. And the default search for a convolution's
# kernel, EXHAUSTIVE, takes 8 times as long as HEURISTIC and finds none that is faster; others have
# measured it (microsoft/onnxruntime#22705, sgl-project/sglang-omni#2176). Whenever a batch is of
# another size than the one before, there is a search. DEFAULT takes slow kernels.
_CUDA = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}


class OnnxRuntimeSession:
    """A bundle's graphs in ONNX Runtime; a `Session`.

    Args:
        bundle: an opened bundle.
        provider: 'cpu' or 'cuda'; 'webgpu' is `WebGpuSession`.
        precision: 'fp32', or 'fp16' for the bundle's half-precision graph.
        threads: threads of one call on the CPU, None = all CPUs that this process may use.
        gpu: index of the GPU, for 'cuda'.
        timer: takes the time of the runs on that GPU, with their copies from and to the host; None
            = nobody asks.
        draws: open mapping and synthesis at once; else, like the others, when they are run.

    Raises:
        InvalidInput: an unknown provider, or the bundle has no half-precision graph.
        BundleError: a graph's tensors are not those of the manifest.
        MissingExtra: ONNX Runtime is not installed or does not load, or both of its distributions
            are installed.
        EngineError: the provider is not there, or ONNX Runtime would have used another one.
    """

    max_batch = ANY_BATCH

    def __init__(
        self,
        bundle: Bundle,
        *,
        provider: str,
        precision: str = "fp32",
        threads: int | None = None,
        gpu: int = 0,
        timer: LaunchTimer | None = None,
        draws: bool = True,
    ) -> None:
        ort = import_onnxruntime()
        if provider not in PROVIDERS:
            raise InvalidInput(
                f"provider: got {provider!r}, expected 'auto', 'cpu', 'cuda' or 'webgpu'."
            )
        if PROVIDERS[provider] not in ort.get_available_providers():
            raise EngineError(
                f"provider {provider!r}: this ONNX Runtime has only {available_providers()}. "
                f"Run 'stylert doctor' to see what to install."
            )
        if provider == "cuda" and hasattr(ort, "preload_dlls"):
            with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
                ort.preload_dlls()
        self.threads = usable_cpus() if threads is None else threads
        self.provider = provider
        self.precision = precision
        self.gpu = gpu
        self._version = ort.__version__
        self._outputs = bundle.graphs[graph_key("synthesis", precision)].outputs
        of_all = [*bundle.graphs["mapping"].outputs, *self._outputs]
        if GRADIENT in bundle.graphs:
            of_all += bundle.graphs[GRADIENT].outputs
        self._specs = {t.name: t for t in of_all}
        self._bound: BoundOutputs | None = None  # made when it is first asked for
        self._lock = threading.Lock()  # of what is made then
        self._timer = timer
        if timer is not None:  # only a stream of ours can be watched
            with timer.device.active():
                self._stream = timer.device.open_stream()
        self._keys = {
            "synthesis": find_synthesis(bundle, provider, precision),
            ENCODER: find_encoder(bundle, precision),
        }
        self._open_asked = partial(self._open, ort, bundle)
        self._graphs: dict[str, tuple[Any, tuple[str, ...]]] = {}
        for graph in ("mapping", "synthesis") if draws else ():
            self._find_graph(graph)
        self._only_what_is_asked = ort.RunOptions()  # of the many gradients
        self._only_what_is_asked.only_execute_path_to_fetches = True

    def _open(self, ort: Any, bundle: Bundle, graph: str) -> tuple[Any, tuple[str, ...]]:
        """A graph's session in ONNX Runtime, and the names of its inputs."""
        path = bundle.file(graph)
        # The mapping network is too small to gain from threads, and a pool of its own would spin.
        options = make_options(ort, threads=1 if graph == "mapping" else self.threads)
        # With patterns the second batch takes a quarter more memory than the first, for no speed.
        options.enable_mem_pattern = False
        if graph == GRADIENT:
            # As the nodes are written: what needs a large value comes before the next is made. By
            # default the sums of products come last, and keep all that they sum up until then.
            options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        with _failing(f"cannot open {path.name}"):
            session = self._create(ort, path, options)
        give_back_memory()
        check_provider(session, self.provider)
        spec = bundle.graphs[graph]
        check_tensors(list_tensors(session), spec, bundle)
        return session, tuple(t.name for t in spec.inputs)

    def _create(self, ort: Any, path: Path, options: Any) -> Any:
        """A graph's `InferenceSession`, on the provider or on none."""
        asked: Any = PROVIDERS[self.provider]
        if self.provider == "cuda":
            cuda = {"device_id": str(self.gpu), **_CUDA}
            if self._timer is not None:
                cuda["user_compute_stream"] = str(self._stream.handle)
            asked = (asked, cuda)
            # A node that CUDA cannot run must be an error, not a slow detour.
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        # Without the last argument it changes to the CPU by itself, also in a later run.
        return ort.InferenceSession(str(path), options, providers=[asked], enable_fallback=0)

    def run(
        self, graphs: Graphs, feeds: Feeds, outputs: Sequence[str], *, on_device: bool = False
    ) -> Sequence[DLPackArray]:
        """Run graphs on the host's arrays; see `Session.run`."""
        arrays = {**feeds.draw_rows(), **feeds.constants}
        timer = self._timer
        watched = contextlib.nullcontext() if timer is None else timer.around(self._stream)
        with _failing(), watched:
            for graph in graphs:
                session, names = self._find_graph(graph)
                inputs = {name: arrays[name] for name in names}
                if graph != graphs[-1]:
                    (arrays["ws"],) = session.run(["ws"], inputs)
                elif on_device and self.provider == "cuda":
                    return self._bound_outputs().run(session, inputs, outputs, feeds.count)
            options = self._only_what_is_asked if graph == GRADIENT else None
            drawn: list[np.ndarray] = session.run(list(outputs), inputs, options)
        _check_results(drawn, [self._specs[name] for name in outputs], feeds.count)
        return drawn

    def refit(self, bundle: Bundle) -> None:
        """It cannot."""
        raise EngineError("refit: only the backend 'tensorrt' can do it; open the other bundle.")

    def describe(self) -> dict[str, Any]:
        """What runs where."""
        facts = {
            "backend": "onnxruntime",
            "version": self._version,
            "provider": self.provider,
            "threads": self.threads,
            "precision": self.precision,
        }
        return facts if self.provider == "cpu" else {**facts, "gpu_index": self.gpu}

    def close(self) -> None:
        """Let go of the sessions; a call that still runs keeps its own until it is done."""
        self._graphs = {}
        if self._bound is not None:
            self._bound.close()

    def _find_graph(self, graph: str) -> tuple[Any, tuple[str, ...]]:
        """A graph; one that few ask for, the gradient or the encoder, is opened when it is."""
        with self._lock:
            if graph not in self._graphs:
                self._graphs[graph] = self._open_asked(self._keys.get(graph, graph))
        return self._graphs[graph]

    def _bound_outputs(self) -> BoundOutputs:
        from stylert.runtime.backends.cuda.onnxruntime_outputs import BoundOutputs

        with self._lock:
            if self._bound is None:
                self._bound = BoundOutputs(_open_device(self.gpu), self._outputs)
            return self._bound


def _open_device(gpu: int) -> Device:
    from stylert.runtime.backends.cuda.device import Device

    return Device(gpu)


@contextmanager
def _failing(told: str = "failed") -> Iterator[None]:
    """Turns what ONNX Runtime raises into an error of ours, of one line."""
    try:
        yield
    except StylertError:
        raise
    except Exception as error:  # ONNX Runtime's own exceptions share no base class
        raise EngineError(f"ONNX Runtime {told}: {tell_line(error)}") from error


def _check_results(results: list[np.ndarray], outputs: list[TensorSpec], count: int) -> None:
    """Refuse another shape than the manifest's: to ONNX Runtime, a file's own is but a hint."""
    for array, t in zip(results, outputs, strict=True):
        if array.shape != (expected := (count, *t.shape[1:])):
            raise EngineError(
                f"{t.name}: the graph gave the shape {array.shape}, expected {expected}. Export "
                "the checkpoint again."
            )
