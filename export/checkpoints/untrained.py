"""Generators of the standard architectures with random weights: to measure before one has trained.

`stylert export untrained:stylegan2-1024 ...` takes one wherever a checkpoint is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from stylert.export.checkpoints.checkpoint import (
    Checkpoint,
    Source,
    StyleGAN2Config,
    expected_shapes,
)
from stylert.runtime.errors import CheckpointError

__all__ = ["PREFIX", "UNTRAINED", "untrained"]

PREFIX = "untrained:"


def _stylegan2(resolution: int, channel_base: int, *, half: bool = True) -> StyleGAN2Config:
    sizes = [4 << i for i in range(resolution.bit_length() - 2)]
    return StyleGAN2Config(
        z_dim=512,
        c_dim=0,
        w_dim=512,
        img_channels=3,
        const_shape=(4, 4),
        channels=tuple(min(channel_base // size, 512) for size in sizes),
        mapping_layers=8,
        conv_clamp=256.0 if half else None,
        num_fp16_res=4 if half else 0,
    )


# The configurations 'paper256', 'paper512' and 'paper1024' of StyleGAN2-ADA.
UNTRAINED: dict[str, Callable[[], StyleGAN2Config]] = {
    "stylegan2-256": lambda: _stylegan2(256, 16384),
    "stylegan2-512": lambda: _stylegan2(512, 32768),
    "stylegan2-1024": lambda: _stylegan2(1024, 32768),
    # Config F of the StyleGAN2 paper, trained in float32 without a clamp.
    "stylegan2-config-f": lambda: _stylegan2(1024, 32768, half=False),
}


def untrained(name: str, *, config: StyleGAN2Config | None = None, seed: int = 0) -> Checkpoint:
    """A checkpoint with random weights, on the scale of trained ones.

    Args:
        name: a key of `UNTRAINED`, or any name with a `config`.
        config: an architecture of your own.
        seed: of the weights.

    Raises:
        CheckpointError: an unknown name.
    """
    if config is None:
        if name not in UNTRAINED:
            raise CheckpointError(f"{PREFIX}{name}: unknown, expected one of {list(UNTRAINED)}.")
        config = UNTRAINED[name]()
    random = np.random.RandomState(seed)
    tensors = {
        tensor: np.asarray(_weights(random, tensor, shape, config))
        for tensor, shape in expected_shapes(config).items()
    }
    taps = np.array([1, 3, 3, 1], np.float32)
    for resolution in config.block_resolutions:
        tensors[f"synthesis.b{resolution}.resample_filter"] = np.outer(taps, taps) / np.float32(64)
    digest = hashlib.sha256()
    for tensor in tensors.values():
        digest.update(tensor.tobytes())
    size = sum(tensor.nbytes for tensor in tensors.values())
    source = Source(f"{PREFIX}{name}", digest.hexdigest(), size, "random weights", f"seed {seed}")
    return Checkpoint("stylegan2", config, tensors, source, ("The weights are random.",))


def _weights(
    random: np.random.RandomState, name: str, shape: tuple[int, ...], config: StyleGAN2Config
) -> np.ndarray | np.float32:
    values = np.asarray(random.standard_normal(shape), np.float32)
    if name.startswith("mapping.fc") and name.endswith("weight"):
        return values / np.float32(config.mapping_lr_multiplier)
    if name.endswith("affine.bias"):
        return 1 + values * np.float32(0.1)
    if name.endswith(("bias", "noise_strength", "w_avg")):
        return values * np.float32(0.1)
    if ".torgb." in name:
        return values * np.float32(0.2)
    return values
