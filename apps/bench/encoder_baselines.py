"""What the benchmark of an encoder compares with: our readable reference in PyTorch."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from stylert.apps.bench.candidates import OpenCandidate
from stylert.apps.bench.encoder_candidates import make_encoder_feeds, show_codes
from stylert.apps.bench.torch_baselines import CudaClock, OnTorch, require_cuda
from stylert.export.encoders.models import EncoderModel
from stylert.export.encoders.reader import read_encoder
from stylert.runtime.bundle import Bundle

__all__ = ["open_compiled_encoder", "open_eager_encoder"]


class _TorchEncoder(OnTorch):
    def __init__(self, model: EncoderModel, bundle: Bundle, *, device: str, compiled: bool) -> None:
        clock = CudaClock() if device == "cuda" else None
        super().__init__(device=device, precision="fp32", compiled=compiled, clock=clock)
        self.encode: Any = torch.compile(model) if compiled else model
        self.bundle = bundle
        self.tensors: list[torch.Tensor] = []

    @override
    def prepare(self, batch: int) -> None:
        feeds = make_encoder_feeds(self.bundle, batch)
        self.tensors = [torch.from_numpy(array).to(self.device) for array in feeds.values()]
        if self.compiled:
            self.run()

    @override
    def compute(self) -> torch.Tensor:
        ws: torch.Tensor = self.encode(*self.tensors)
        return ws

    @override
    def run(self) -> np.ndarray:
        return show_codes(super().run())

    @override
    def close(self) -> None:
        del self.encode, self.tensors


def open_eager_encoder(
    *, bundle: str, file: str, threads: int, device: str = "cpu", compiled: bool = False
) -> OpenCandidate:
    """The encoder of a file in eager PyTorch.

    Args:
        bundle: whose encoder it is.
        file: what that was made of.
        threads: of the CPU.
        device: 'cpu' or 'cuda'.
        compiled: through torch.compile instead.

    Raises:
        EngineError: 'cuda', and PyTorch has no GPU here.
        CheckpointError: the file cannot be read.
    """
    torch.set_num_threads(threads)
    if device == "cuda":
        require_cuda()
    model = EncoderModel.from_encoder(read_encoder(Path(file))).to(device)
    return _TorchEncoder(model, Bundle.open(bundle), device=device, compiled=compiled)


open_compiled_encoder = partial(open_eager_encoder, compiled=True)
