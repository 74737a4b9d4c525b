"""Encoders of random weights: for tests, and to see that everything after the training works."""

from __future__ import annotations

import numpy as np

from stylert.export.checkpoints.checkpoint import Source
from stylert.export.encoders.config import Encoder, EncoderConfig

__all__ = ["make_untrained_encoder"]


def make_untrained_encoder(num_ws: int, w_dim: int, *, feedback: bool = False) -> Encoder:
    """A small encoder of 16 x 16 pixels, in the layout of `examples/train_encoder`.

    Args:
        num_ws: layers of the generator.
        w_dim: length of a w.
        feedback: it sees what it has drawn, in two passes.
    """
    config = EncoderConfig(
        title="StyleRT",
        backbone="plain",
        head="plain",
        widths=(4, 6),
        hidden=5,
        num_codes=1,
        num_ws=num_ws,
        w_dim=w_dim,
        height=16,
        width=16,
        feedback=feedback,
        passes=2 if feedback else 1,
    )
    random = np.random.default_rng(0)
    tensors = {
        name: (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, shape in config.list_shapes().items()
    }
    average = np.zeros((num_ws, w_dim), np.float32)
    return Encoder(config, tensors, average, Source("untrained.safetensors", "", 0))
