"""The mean of w, for files that lack it: the average of mapped latents (StyleGAN, appendix B)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stylert.export.checkpoints.configs.config import Config
from stylert.runtime.errors import CheckpointError

__all__ = ["average_latents", "tell_average"]

LATENTS = 4096  # as many as rosinality's own scripts take
SEED = 0
_PARTS = 8  # mapped one after the other, which takes less memory
_SLOPE = 0.2  # of the leaky ReLU


def average_latents(
    config: Config, tensors: Mapping[str, np.ndarray], *, count: int = LATENTS
) -> np.ndarray:
    """The mean w of latents from RandomState(SEED), mapped in float64.

    Args:
        config: of an unconditional generator, whose mapping network has leaky ReLUs.
        tensors: its 'mapping.fc*' are used.
        count: how many latents, a multiple of 8.

    Returns:
        [w_dim] float32.

    Raises:
        CheckpointError: the mapping network gives no finite numbers.
    """
    assert config.c_dim == 0
    assert config.mapping_activation == "lrelu"
    latents = np.random.RandomState(SEED).randn(count, config.z_dim)  # [N, z]
    with np.errstate(all="ignore"):  # what is not finite is refused below
        parts = [_map(config, tensors, z).mean(axis=0) for z in np.split(latents, _PARTS)]
        mean: np.ndarray = np.mean(parts, axis=0).astype(np.float32)
    if not np.isfinite(mean).all():
        raise CheckpointError("the mapping network gives no finite w; use another snapshot")
    return mean


def tell_average(count: int = LATENTS) -> str:
    """What `average_latents` gives, for a note."""
    return f"the mean of {count} mapped latents of seed {SEED} takes its place"


def _map(config: Config, tensors: Mapping[str, np.ndarray], z: np.ndarray) -> np.ndarray:
    """Map z [N, z_dim] to w [N, w_dim] in float64."""
    lr = config.mapping_lr_multiplier
    x: np.ndarray = z / np.sqrt(np.square(z).mean(axis=1, keepdims=True) + 1e-8)
    for i in range(config.mapping_layers):
        weight = tensors[f"mapping.fc{i}.weight"].astype(np.float64)  # [out, in]
        bias = tensors[f"mapping.fc{i}.bias"].astype(np.float64)
        x = x @ (weight.T * (lr / np.sqrt(weight.shape[1]))) + bias * lr
        x = np.where(x < 0, _SLOPE * x, x) * np.sqrt(2)
    return x
