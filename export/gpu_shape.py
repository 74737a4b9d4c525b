"""The graph in the shape for GPUs against the one that was proven: they are the same function."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stylert.export.checkpoints import Checkpoint
from stylert.export.graph_session import choose_threads, make_feeds, open_session
from stylert.runtime.control.style_space import STYLE_OFFSET
from stylert.runtime.errors import ParityError
from stylert.runtime.proof.parity import TOLERANCES, RoundingError, compare, judge
from stylert.runtime.transforms import TRANSFORM, invert_transforms

__all__ = ["check_gpu_shape"]


def check_gpu_shape(
    proven: Path,
    for_gpus: Path,
    checkpoint: Checkpoint,
    error: RoundingError | None,
    *,
    styles: int = 0,
) -> None:
    """Draw a picture with both on the processor: each layer has a w of its own, and it is turned.

    Args:
        proven: synthesis.onnx.
        for_gpus: the other one.
        checkpoint: what they were made of.
        error: of float32, where the proof measured it.
        styles: how many have an offset, 0 = the graphs take none.

    Raises:
        ParityError: they draw different pictures.
    """
    c = checkpoint.config
    ws = np.random.RandomState(0).standard_normal((1, c.num_ws, c.w_dim)).astype(np.float32)
    ws += checkpoint.tensors["mapping.w_avg"].reshape(-1, c.w_dim)[0]
    feeds = make_feeds(checkpoint, ws)
    if TRANSFORM in feeds:
        feeds[TRANSFORM] = invert_transforms(np.array([[0.1, -0.05]]), np.array([20.0]))
    if styles:
        feeds[STYLE_OFFSET] = (
            np.random.RandomState(1).normal(0, 0.1, (1, styles)).astype(np.float32)
        )
    sessions = (open_session(path, threads=choose_threads(c.work)) for path in (proven, for_gpus))
    found = compare(*(session.run(["img"], feeds)[0] for session in sessions))
    if not judge(found, "fp32", error):
        raise ParityError(
            f"{for_gpus.name}: its picture is {found.max_abs:.2g} from that of {proven.name}, "
            f"expected at most {TOLERANCES['fp32'].max_abs:g}. This is a bug of StyleRT: report it "
            "with the checkpoint."
        )
