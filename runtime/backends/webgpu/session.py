"""A bundle's graphs on WebGPU: on the adapter that was asked for, whole, and seen to draw."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

from stylert.runtime.backends.onnxruntime import OnnxRuntimeSession
from stylert.runtime.backends.onnxruntime_package import import_onnxruntime
from stylert.runtime.backends.webgpu.plug_in import (
    LOCK,
    OTHER_WAY,
    add_provider,
    choose_adapter,
    plug_in_version,
    quiet,
    shortened,
)
from stylert.runtime.bundle import Bundle
from stylert.runtime.control.neutral_inputs import make_neutral_inputs
from stylert.runtime.errors import EngineError, StylertError
from stylert.runtime.feeds import Feeds
from stylert.runtime.proof.parity import TOLERANCES, compare
from stylert.runtime.session import DLPackArray, Graphs

__all__ = ["WebGpuSession"]

SEEDS = 4  # pictures that half precision is measured on


class WebGpuSession(OnnxRuntimeSession):
    """A `Session` of ONNX Runtime with the plug-in for WebGPU.

    When it opens it draws: so a shader that does not compile is found then, and half precision is
    compared with float32 on this very adapter. Shaders may add up in half precision, which no
    other processor foretells.

    Args:
        bundle: an opened bundle.
        device: 'gpu' or None, or 'software': an adapter that is a program on the processor.
        precision: 'fp32', or 'fp16' for the bundle's half-precision graph.

    Raises:
        InvalidInput: an unknown device.
        BundleError: a graph's tensors are not those of the manifest.
        MissingExtra: ONNX Runtime or the plug-in is not installed, or does not load.
        EngineError: there is no such adapter, it cannot run a graph, or its half precision is too
            far off.
    """

    def __init__(
        self, bundle: Bundle, *, device: str | None = None, precision: str = "fp32"
    ) -> None:
        ort = import_onnxruntime()
        self.device = device or "gpu"
        self._adapter = choose_adapter(ort, device)
        super().__init__(bundle, provider="webgpu", precision=precision, threads=1)
        with ExitStack() as undo:
            undo.callback(self.close)
            drawn = self._draw_first(ort, bundle, 1 if precision == "fp32" else SEEDS)
            if precision == "fp16":
                with closing(WebGpuSession(bundle, device=device)) as whole:
                    _check_half(whole._draw(bundle, SEEDS), drawn)
            undo.pop_all()

    def _create(self, ort: Any, path: Path, options: Any) -> Any:
        heard: list[str] = []
        try:
            with quiet(ort) as heard:
                add_provider(ort, options)
                return ort.InferenceSession(str(path), options, enable_fallback=0)
        except StylertError:
            raise
        except Exception as error:  # ONNX Runtime's own exceptions share no base class
            words = shortened(error, heard)
            raise EngineError(f"WebGPU cannot open {path.name}: {words}") from error

    def run(
        self, graphs: Graphs, feeds: Feeds, outputs: Sequence[str], *, on_device: bool = False
    ) -> Sequence[DLPackArray]:
        """Run graphs on the host's arrays; see `Session.run`."""
        if on_device:
            raise EngineError(
                "on_device: got True with provider 'webgpu', whose pictures come to the host only, "
                "expected False."
            )
        with LOCK:
            try:
                return super().run(graphs, feeds, outputs)
            except EngineError as error:
                raise self._tell(error) from error.__cause__

    def describe(self) -> dict[str, Any]:
        """What runs where."""
        facts = super().describe()
        del facts["gpu_index"], facts["threads"]
        return {
            **facts,
            "device": self.device,
            "device_name": self._adapter.name,
            "plug_in": plug_in_version(),
        }

    def _draw_first(self, ort: Any, bundle: Bundle, count: int) -> np.ndarray:
        """The first pictures, for which shaders are compiled; see `_draw`."""
        heard: list[str] = []
        try:
            with quiet(ort) as heard:
                drawn = self._draw(bundle, count)
        except EngineError as error:
            raise self._tell(error, heard) from error.__cause__
        if self.precision == "fp32" and not np.isfinite(drawn).all():
            raise EngineError(
                f"WebGPU cannot draw on {self._adapter.name}: the first pictures have values that "
                f"are not finite. {OTHER_WAY}"
            )
        return drawn

    def _tell(self, error: EngineError, heard: Sequence[str] = ()) -> EngineError:
        """What went wrong in a run: of ONNX Runtime's words those that matter, and what to do."""
        if not isinstance(words := error.__cause__, Exception):
            return error
        return EngineError(f"WebGPU cannot draw on {self._adapter.name}: {shortened(words, heard)}")

    def _draw(self, bundle: Bundle, count: int) -> np.ndarray:
        """Pictures of the first seeds, without noise: `img` [count, C, H, W] float32."""
        spec = bundle.spec
        z = [np.random.RandomState(seed).randn(spec.z_dim) for seed in range(count)]
        rows = {
            "z": np.array(z, np.float32),
            "truncation_psi": np.full((count, spec.num_ws), 1, np.float32),
            "c": np.resize(np.eye(spec.c_dim, dtype=np.float32), (count, spec.c_dim)),
            **make_neutral_inputs(bundle.graphs["synthesis"].inputs, count),
        }
        silence = {t.name: np.zeros([1, *map(int, t.shape[1:])], "f4") for t in bundle.noise_inputs}
        taken = {t.name for graph in ("mapping", "synthesis") for t in bundle.graphs[graph].inputs}
        feeds = Feeds(
            rows={name: array for name, array in rows.items() if name in taken},
            constants=silence,
            count=count,
        )
        (img,) = self.run(("mapping", "synthesis"), feeds, ["img"])
        return np.asarray(img)


def _check_half(whole: np.ndarray, half: np.ndarray) -> None:
    """Refuse half precision whose pictures [N, C, H, W] are too far from those of float32."""
    found, least = compare(whole, half), TOLERANCES["fp16"]
    if not found.within(least):
        raise EngineError(
            f"precision: got 'fp16', but on this adapter it reaches {found.psnr_db:.1f} dB, "
            f"expected {least.psnr_db:.0f} dB, of float32 on the same adapter. Take 'fp32'."
        )
