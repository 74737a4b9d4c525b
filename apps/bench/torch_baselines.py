"""What the benchmark compares with: PyTorch, eager and compiled, on the CPU or a GPU.

The model is the reference of the export: it modulates the weights of every image and runs one
grouped convolution, the formulation of the official code. In half precision it follows the official
half path, see `models.layers.modulated_conv2d`. On a GPU, float32 means float32: TF32 is off.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from stylert.apps.bench.candidates import HALF_GEMM_SHAPE, TRUNCATION_PSI
from stylert.export.checkpoints import Checkpoint, StyleGAN2Config, read_checkpoint
from stylert.export.checkpoints.assumptions import Assumptions
from stylert.export.families import build_model
from stylert.export.int16_rounding import round_weights
from stylert.export.models.generator import GeneratorModel
from stylert.export.models.stylegan2 import StyleGAN2
from stylert.runtime.errors import EngineError, InvalidInput
from stylert.runtime.labels import Classes
from stylert.runtime.latents import make_z

__all__ = ["HalfGemm", "TorchCandidate", "open_compiled", "open_eager", "open_half_gemm"]


class TorchCandidate:
    """A reference that draws from z, as its users run it: in inference mode.

    Args:
        model: on its device.
        device: 'cpu' or 'cuda'.
        precision: that the model has.
        compiled: through torch.compile: with its default options on the CPU; on a GPU for each
            batch size by itself, with CUDA graphs, which is its fastest mode for small batches.
        clock: takes the time on the device, None = there is no need.
        class_idx: of all images; None = seed mod c_dim.
    """

    def __init__(
        self,
        model: GeneratorModel,
        *,
        device: str,
        precision: str = "fp32",
        compiled: bool = False,
        clock: CudaClock | None = None,
        class_idx: int | None = None,
    ) -> None:
        self.class_idx = class_idx
        self.model = model
        self.device = device
        self.precision = precision
        self.compiled = compiled
        self.clock = clock
        self.draw: Any = model
        if compiled:
            options: dict[str, Any] = {}
            if device == "cuda":
                options = {"mode": "reduce-overhead", "dynamic": False}
            self.draw = torch.compile(model, **options)

    def prepare(self, batch: int) -> None:
        """Make the inputs of seeds 0 .. batch-1; a compiled model compiles for this batch."""
        config = self.model.config
        c = Classes(config.c_dim).make_labels(self.class_idx, None, batch=batch, seeds=range(batch))
        z = make_z(range(batch), config.z_dim)
        self.z = torch.from_numpy(z).to(self.device)
        self.c = None if c is None else torch.from_numpy(c).to(self.device)
        if self.compiled:
            self.run()

    def run(self) -> np.ndarray:
        """Draw the images [N, C, H, W] float32 into host memory."""
        with torch.inference_mode():
            if self.clock is not None:
                self.clock.start()
            images = self.draw(self.z, self.c, truncation_psi=TRUNCATION_PSI)
            if self.clock is not None:
                self.clock.stop()
            array: np.ndarray = images.cpu().numpy()
        return array

    def device_seconds(self) -> float | None:
        """What the last run took on the GPU, without the copy to the host; None on the CPU."""
        return None if self.clock is None else self.clock.seconds()

    def describe(self) -> dict[str, Any]:
        """What runs where."""
        facts = {
            "backend": "torch.compile" if self.compiled else "torch",
            "version": torch.__version__,
            "device": self.device,
            "threads": torch.get_num_threads(),
            "precision": self.precision,
        }
        if self.device == "cuda":
            facts |= {"gpu": torch.cuda.get_device_name(), "tf32": False, "cudnn_benchmark": True}
        return facts

    def close(self) -> None:
        """Let go of the weights."""
        del self.model, self.draw


class CudaClock:
    """Takes the time of the current stream's work, by events."""

    def __init__(self) -> None:
        event: Any = torch.cuda.Event  # which is not typed
        self._start, self._stop = event(enable_timing=True), event(enable_timing=True)

    def start(self) -> None:
        """From here on."""
        self._start.record()

    def stop(self) -> None:
        """Up to here."""
        self._stop.record()

    def seconds(self) -> float:
        """Between the two; waits for the second."""
        self._stop.synchronize()
        return float(self._start.elapsed_time(self._stop)) * 1e-3


class HalfGemm:
    """A product of two half matrices on the GPU: its roofline, the same for every batch size."""

    def __init__(self, clock: CudaClock, *, device: str = "cuda") -> None:
        M, K, N = HALF_GEMM_SHAPE
        self._device = device
        self._clock = clock
        self._a = torch.randn(M, K, dtype=torch.float16, device=device)  # [M, K]
        self._b = torch.randn(K, N, dtype=torch.float16, device=device)  # [K, N]
        self._y = torch.empty(M, N, dtype=torch.float16, device=device)  # [M, N]
        self._batch = 0

    def prepare(self, batch: int) -> None:
        """Take note of the batch size, which changes nothing."""
        self._batch = batch

    def run(self) -> np.ndarray:
        """Multiply, and wait; the result is no image."""
        self._clock.start()
        torch.matmul(self._a, self._b, out=self._y)
        self._clock.stop()
        self._clock.seconds()
        return np.zeros((self._batch, 1, 1, 1), np.float32)

    def device_seconds(self) -> float:
        """What the last run took on the GPU."""
        return self._clock.seconds()

    def describe(self) -> dict[str, Any]:
        """What runs where."""
        return {
            "backend": "torch",
            "version": torch.__version__,
            "device": self._device,
            "gpu": torch.cuda.get_device_name(),
            "precision": "fp16",
        }

    def close(self) -> None:
        """Let go of the matrices."""
        del self._a, self._b, self._y


def open_eager(
    *,
    checkpoint: str,
    threads: int,
    network: str | None = None,
    assume: Mapping[str, Any] = MappingProxyType({}),
    weights: str = "fp32",
    device: str = "cpu",
    precision: str = "fp32",
    class_idx: int | None = None,
) -> TorchCandidate:
    """Eager PyTorch.

    Args:
        checkpoint: a file, or 'untrained:NAME'.
        threads: of the CPU.
        network: of the file, None = the default.
        assume: fields of `Assumptions`.
        weights: how the bundle beside it stores them; they are rounded here, too.
        device: 'cpu' or 'cuda'.
        precision: 'fp32', or 'fp16' for the official half path.
        class_idx: of all images of a conditional network; None = seed mod c_dim.

    Raises:
        EngineError: 'cuda', and PyTorch has no GPU here.
        InvalidInput: 'fp16' for a family that has no such path here.
    """
    options = (assume, weights, device, precision, class_idx)
    return _open(checkpoint, threads, network, *options, compiled=False)


def open_compiled(
    *,
    checkpoint: str,
    threads: int,
    network: str | None = None,
    assume: Mapping[str, Any] = MappingProxyType({}),
    weights: str = "fp32",
    device: str = "cpu",
    precision: str = "fp32",
    class_idx: int | None = None,
) -> TorchCandidate:
    """The same through torch.compile; see `open_eager`."""
    options = (assume, weights, device, precision, class_idx)
    return _open(checkpoint, threads, network, *options, compiled=True)


def open_half_gemm(*, threads: int) -> HalfGemm:
    """The GPU's roofline: what its half GEMM reaches.

    Raises:
        EngineError: PyTorch has no GPU here.
    """
    torch.set_num_threads(threads)
    _require_cuda()
    return HalfGemm(CudaClock())


def _open(
    checkpoint: str,
    threads: int,
    network: str | None,
    assume: Mapping[str, Any],
    weights: str,
    device: str,
    precision: str,
    class_idx: int | None,
    *,
    compiled: bool,
) -> TorchCandidate:
    torch.set_num_threads(threads)
    if device == "cuda":
        _require_cuda()
    read = read_checkpoint(checkpoint, network=network, assume=Assumptions(**assume))
    model = _model(round_weights(read, weights), precision).to(device)
    clock = CudaClock() if device == "cuda" else None
    return TorchCandidate(
        model,
        device=device,
        precision=precision,
        compiled=compiled,
        clock=clock,
        class_idx=class_idx,
    )


def _model(checkpoint: Checkpoint, precision: str) -> GeneratorModel:
    """The reference, or for 'fp16' its half path."""
    if precision == "fp32":
        return build_model(checkpoint)
    config = checkpoint.config
    if not isinstance(config, StyleGAN2Config):
        raise InvalidInput(
            f"precision: got {precision!r} for {config.title}, expected 'fp32': the half path of "
            "the PyTorch reference is StyleGAN2's alone."
        )
    return StyleGAN2.from_checkpoint(checkpoint, half_blocks=config.native_half_blocks)


def _require_cuda() -> None:
    """Make PyTorch ready for an honest comparison on a GPU: exact float32, and its best kernels.

    Raises:
        EngineError: it has no GPU here.
    """
    if not torch.cuda.is_available():
        raise EngineError(
            f"device 'cuda': PyTorch {torch.__version__} finds no GPU here. Install its CUDA build "
            "on a machine with an NVIDIA GPU, or leave this candidate out."
        )
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
