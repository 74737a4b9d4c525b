"""Generators of the standard architectures with random weights: to measure before one has trained.

`stylert export untrained:stylegan2-1024 ...` takes one wherever a checkpoint is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import chain, repeat
from typing import Any

import numpy as np

from stylert.export.checkpoints.checkpoint import Checkpoint, Source
from stylert.export.checkpoints.configs.config import Config
from stylert.export.checkpoints.configs.stylegan1 import StyleGAN1Config
from stylert.export.checkpoints.configs.stylegan2 import StyleGAN2Config
from stylert.export.checkpoints.configs.stylegan3 import StyleGAN3Config
from stylert.export.checkpoints.configs.stylegan3_design import StyleGAN3Design
from stylert.runtime.errors import CheckpointError

__all__ = ["PREFIX", "UNTRAINED", "make_untrained"]

PREFIX = "untrained:"


_LATENTS: dict[str, Any] = {"z_dim": 512, "c_dim": 0, "w_dim": 512}


def _list_blocks(resolution: int, channel_base: int) -> dict[str, Any]:
    sizes = [4 << i for i in range(resolution.bit_length() - 2)]
    channels = tuple(min(channel_base // size, 512) for size in sizes)
    shape = {"img_channels": 3, "const_shape": (4, 4), "channels": channels}
    return {**_LATENTS, "mapping_layers": 8, **shape}


def _make_stylegan1(resolution: int) -> StyleGAN1Config:
    return StyleGAN1Config(**_list_blocks(resolution, 16384))


def _make_stylegan2(resolution: int, channel_base: int, *, half: bool = True) -> StyleGAN2Config:
    trained: dict[str, Any] = {"conv_clamp": 256.0, "num_fp16_res": 4} if half else {}
    return StyleGAN2Config(**_list_blocks(resolution, channel_base), **trained)


def _make_stylegan3(resolution: int, letter: str) -> StyleGAN3Config:
    wide = 16384 if resolution == 256 else 32768
    radial: dict[str, Any] = {"conv_kernel": 1, "use_radial_filters": True, "channel_max": 1024}
    design = (
        StyleGAN3Design(img_resolution=resolution, channel_base=wide)
        if letter == "t"
        else StyleGAN3Design(img_resolution=resolution, channel_base=2 * wide, **radial)
    )
    return design.make_config(**_LATENTS, mapping_layers=2, conv_clamp=256.0)


# StyleGAN2: the configurations 'paper256', 'paper512' and 'paper1024' of StyleGAN2-ADA.
UNTRAINED: dict[str, Callable[[], Config]] = {
    "stylegan1-256": lambda: _make_stylegan1(256),
    "stylegan1-1024": lambda: _make_stylegan1(1024),
    "stylegan2-256": lambda: _make_stylegan2(256, 16384),
    "stylegan2-512": lambda: _make_stylegan2(512, 32768),
    "stylegan2-1024": lambda: _make_stylegan2(1024, 32768),
    # Config F of the StyleGAN2 paper, trained in float32 without a clamp.
    "stylegan2-config-f": lambda: _make_stylegan2(1024, 32768, half=False),
    # StyleGAN3-T and -R, as the paper trained them: half as many channels at 256.
    "stylegan3-t-256": lambda: _make_stylegan3(256, "t"),
    "stylegan3-t-512": lambda: _make_stylegan3(512, "t"),
    "stylegan3-t-1024": lambda: _make_stylegan3(1024, "t"),
    "stylegan3-r-256": lambda: _make_stylegan3(256, "r"),
    "stylegan3-r-512": lambda: _make_stylegan3(512, "r"),
    "stylegan3-r-1024": lambda: _make_stylegan3(1024, "r"),
}


def make_untrained(name: str, *, config: Config | None = None, seed: int = 0) -> Checkpoint:
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
            raise CheckpointError(
                f"Cannot read {PREFIX + name!r}: unknown, expected one of {', '.join(UNTRAINED)}."
            )
        config = UNTRAINED[name]()
    random = np.random.RandomState(seed)
    tensors = {
        tensor: np.asarray(_draw_weights(random, tensor, shape, config))
        for tensor, shape in config.list_shapes().items()
    }
    taps = np.array([1, 3, 3, 1], np.float32)
    for name_of_filter in config.filter_names:
        tensors[name_of_filter] = np.outer(taps, taps) / np.float32(64)
    if isinstance(config, StyleGAN3Config):
        tensors |= _draw_stylegan3_tensors(random, config)
    digest = hashlib.sha256()
    for tensor in tensors.values():
        digest.update(tensor.tobytes())
    size = sum(tensor.nbytes for tensor in tensors.values())
    source = Source(f"{PREFIX}{name}", digest.hexdigest(), size, "random weights", f"seed {seed}")
    return Checkpoint(config, tensors, source, ("The weights are random.",))


def _draw_weights(
    random: np.random.RandomState, name: str, shape: tuple[int, ...], config: Config
) -> np.ndarray | np.float32:
    values = np.asarray(random.standard_normal(shape), np.float32)
    if name.startswith("mapping.fc") and name.endswith("weight"):
        return values / np.float32(config.mapping_lr_multiplier)
    if name.endswith("affine.bias") and config.family != "stylegan1":  # which adds the 1 itself
        return 1 + values * np.float32(0.1)
    if name.endswith(("bias", "noise_strength", "w_avg")):
        return values * np.float32(0.1)
    if ".torgb." in name:
        return values * np.float32(0.2)
    return values


def _draw_stylegan3_tensors(
    random: np.random.RandomState, config: StyleGAN3Config
) -> dict[str, np.ndarray]:
    """What has no counterpart in the other families."""
    wide, w_dim = config.input_channels, config.w_dim
    radii = config.input_bandwidth * np.sqrt(random.uniform(size=wide))  # uniform on the disc
    angles = random.uniform(0, 2 * np.pi, size=wide)
    last = config.layers[-1]
    torgb = random.standard_normal((last.out_channels, last.in_channels, 1, 1))
    tensors: dict[str, Any] = {
        "input.affine.weight": 0.2 * random.standard_normal((4, w_dim)),
        "input.affine.bias": [1, 0, 0, 0],
        "input.transform": np.eye(3),
        "input.freqs": np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1),
        "input.phases": random.uniform(-0.5, 0.5, size=wide),
        f"{last.name}.weight": 2 * torgb,
    }
    # Waves have a mean square of 1/2; those behind them, which are smooth, were measured.
    magnitudes = chain((0.5, 0.6, 0.8), repeat(1.0))
    for layer, magnitude in zip(config.layers, magnitudes, strict=False):
        tensors[f"{layer.name}.magnitude_ema"] = magnitude
    design = StyleGAN3Design(
        img_resolution=config.img_shape[0],
        num_layers=len(config.layers) - 1,
        first_cutoff=config.input_bandwidth,
    )
    named = {f"synthesis.{name}": np.asarray(v, np.float32) for name, v in tensors.items()}
    return named | design.make_filters(config.layers)
