"""What the benchmark compares with: PyTorch, eager and compiled, on the CPU or a GPU.

The model is the reference of the export: it modulates the weights of every image and runs one
grouped convolution, the formulation of the official code. In half precision it follows the official
half path, see `models.layers.modulated_conv2d`. On a GPU, float32 means float32: TF32 is off.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from stylert.apps.bench.candidates import HALF_GEMM_SHAPE, TRUNCATION_PSI, OpenCandidate
from stylert.export.checkpoints import Checkpoint, StyleGAN2Config, read_checkpoint
from stylert.export.checkpoints.assumptions import Assumptions
from stylert.export.families import build_model
from stylert.export.models.generator import GeneratorModel
from stylert.export.models.stylegan2 import StyleGAN2
from stylert.export.weight_rounding import round_weights
from stylert.runtime.errors import EngineError, InvalidInput
from stylert.runtime.labels import Classes
from stylert.runtime.latents import make_z

__all__ = ["CudaClock", "HalfGemm", "OnTorch", "TorchCandidate", "open_compiled", "open_eager"]
__all__ += ["open_half_gemm", "require_cuda"]


class OnTorch(OpenCandidate):
    """A network in PyTorch, as its users run it: in inference mode.

    Args:
        device: 'cpu' or 'cuda'.
        precision: that the network has.
        compiled: whether it went through torch.compile.
        clock: takes the time on the device, None = there is no need.
    """

    def __init__(
        self, *, device: str, precision: str, compiled: bool, clock: CudaClock | None
    ) -> None:
        self.device = device
        self.precision = precision
        self.compiled = compiled
        self.clock = clock

    @abstractmethod
    def compute(self) -> torch.Tensor:
        """What the network makes of what is prepared, on the device."""

    @override
    def run(self) -> np.ndarray:
        with torch.inference_mode():
            if self.clock is not None:
                self.clock.start()
            made = self.compute()
            if self.clock is not None:
                self.clock.stop()
            array: np.ndarray = made.cpu().numpy()
        return array

    @override
    def device_seconds(self) -> float | None:
        return None if self.clock is None else self.clock.seconds()

    @override
    def describe(self) -> dict[str, Any]:
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


class TorchCandidate(OnTorch):
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
        super().__init__(device=device, precision=precision, compiled=compiled, clock=clock)
        self.class_idx = class_idx
        self.model = model
        self.draw: Any = model
        if compiled:
            on_gpu: dict[str, Any] = {"mode": "reduce-overhead", "dynamic": False}
            self.draw = torch.compile(model, **(on_gpu if device == "cuda" else {}))

    @override
    def prepare(self, batch: int) -> None:
        config = self.model.config
        c = Classes(config.c_dim).make_labels(self.class_idx, None, batch=batch, seeds=range(batch))
        z = make_z(range(batch), config.z_dim)
        self.z = torch.from_numpy(z).to(self.device)
        self.c = None if c is None else torch.from_numpy(c).to(self.device)
        if self.compiled:
            self.run()

    @override
    def compute(self) -> torch.Tensor:
        images: torch.Tensor = self.draw(self.z, self.c, truncation_psi=TRUNCATION_PSI)
        return images

    @override
    def close(self) -> None:
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


class HalfGemm(OpenCandidate):
    """A product of two half matrices on the GPU: its roofline, the same for every batch size."""

    def __init__(self, clock: CudaClock, *, device: str = "cuda") -> None:
        M, K, N = HALF_GEMM_SHAPE
        self._device = device
        self._clock = clock
        self._a = torch.randn(M, K, dtype=torch.float16, device=device)  # [M, K]
        self._b = torch.randn(K, N, dtype=torch.float16, device=device)  # [K, N]
        self._y = torch.empty(M, N, dtype=torch.float16, device=device)  # [M, N]
        self._batch = 0

    @override
    def prepare(self, batch: int) -> None:
        self._batch = batch

    @override
    def run(self) -> np.ndarray:
        self._clock.start()
        torch.matmul(self._a, self._b, out=self._y)
        self._clock.stop()
        self._clock.seconds()
        return np.zeros((self._batch, 1, 1, 1), np.float32)

    @override
    def device_seconds(self) -> float:
        return self._clock.seconds()

    @override
    def describe(self) -> dict[str, Any]:
        return {
            "backend": "torch",
            "version": torch.__version__,
            "device": self._device,
            "gpu": torch.cuda.get_device_name(),
            "precision": "fp16",
        }

    @override
    def close(self) -> None:
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
    compiled: bool = False,
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
        compiled: through torch.compile instead.

    Raises:
        EngineError: 'cuda', and PyTorch has no GPU here.
        InvalidInput: 'fp16' for a family that has no such path here.
    """
    torch.set_num_threads(threads)
    if device == "cuda":
        require_cuda()
    read = read_checkpoint(checkpoint, network=network, assume=Assumptions(**assume))
    return TorchCandidate(
        _model(round_weights(read, weights), precision).to(device),
        device=device,
        precision=precision,
        compiled=compiled,
        clock=CudaClock() if device == "cuda" else None,
        class_idx=class_idx,
    )


open_compiled = partial(open_eager, compiled=True)  # whose name the benchmark's file tells


def open_half_gemm(*, threads: int) -> HalfGemm:
    """The GPU's roofline: what its half GEMM reaches.

    Raises:
        EngineError: PyTorch has no GPU here.
    """
    torch.set_num_threads(threads)
    require_cuda()
    return HalfGemm(CudaClock())


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


def require_cuda() -> None:
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
