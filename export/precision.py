"""Which blocks compute in half precision: what was trained so, unless it could overflow.

A checkpoint with a clamp c has activations of at most c, and the half-precision form keeps what a
convolution makes of them below sqrt(I k k) c: with the usual 256 that is within half precision.
Where that bound is above it, or there is no clamp (none is added, since that would change the
pictures), what the blocks would have to hold is measured; one that comes close stays in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stylert.export import half_rounding
from stylert.export.checkpoints import Checkpoint, Config
from stylert.export.families import build_synthesis_graph
from stylert.export.graph_session import (
    choose_threads,
    make_feeds,
    make_latent_feeds,
    open_graph,
)
from stylert.export.graphs.mapping import build_mapping_graph
from stylert.export.half_rounding import HALF_MAX
from stylert.runtime.arguments import shown
from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.json_files import keep_finite
from stylert.runtime.latents import make_z

__all__ = ["HEADROOM", "POLICIES", "HalfPrecision", "list_half_blocks", "choose_half"]

POLICIES = ("native", "all", "none")
HEADROOM = 8.0  # a block may come this close to it on the seeds measured; others may go further

Progress = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class HalfPrecision:
    """The blocks that compute in half precision, and why others do not."""

    policy: str  # 'native', 'all', 'none', or the list of blocks that was asked for
    half_blocks: tuple[str, ...]  # names
    kept_fp32: tuple[str, ...] = ()  # blocks of the policy that could overflow
    peaks: dict[str, float] | None = None  # largest value of each block, None = not measured
    seeds: int = 0  # images measured
    compact: bool = True  # the other blocks store their weights as float16, too
    # Blocks that were moved to float32 since the pictures were too far off, worst first, and the
    # PSNR in dB of pictures where the block alone computes in half precision.
    moved: dict[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON types, in which there is no infinity."""
        fields = asdict(self)
        for key in ("peaks", "moved"):
            if (found := fields[key]) is not None:
                fields[key] = {k: keep_finite(v) for k, v in found.items()}
        return fields


def list_half_blocks(config: Config, policy: str) -> tuple[str, ...]:
    """The blocks of a policy.

    Args:
        config: the architecture.
        policy: 'native' (those that were trained in half precision, else the four highest
            resolutions above 4), 'all', 'none', or a list such as 'b64,b128'.

    Raises:
        InvalidInput: an unknown policy or block.
    """
    names = config.block_names
    if policy == "native":
        return config.native_half_blocks
    if policy in ("all", "none"):
        return names if policy == "all" else ()
    asked = [name.strip() for name in policy.split(",")] if isinstance(policy, str) else [policy]
    for name in asked:
        if name not in names:
            raise InvalidInput(
                f"half: got {shown(name)}, expected one of {', '.join(POLICIES)}, or a list "
                f"of blocks: {', '.join(names)}."
            )
    return tuple(name for name in names if name in asked)


def choose_half(
    checkpoint: Checkpoint,
    policy: str = "native",
    *,
    seeds: int | None = None,
    measure: bool = True,
    progress: Progress = lambda done, total: None,
) -> HalfPrecision:
    """Choose the blocks that compute in half precision.

    Args:
        checkpoint: the generator.
        policy: see `list_half_blocks`.
        seeds: images to measure where the checkpoint has no clamp, None = 256.
        measure: where it has none, measure; False = keep every block in float32 instead.
        progress: called as images get measured.

    Raises:
        InvalidInput: an unknown policy or block.
        MissingExtra: there is something to measure, and ONNX Runtime is not installed.
    """
    blocks = list_half_blocks(checkpoint.config, policy)
    if not blocks or _is_bounded(checkpoint.config):
        return HalfPrecision(policy, blocks)
    if not measure:
        return HalfPrecision(policy, (), kept_fp32=blocks)
    seeds = half_rounding.MEASURED if seeds is None else seeds
    peaks = _measure(checkpoint, blocks, seeds, progress)
    # `not <=` so that a NaN counts as an overflow.
    kept = tuple(block for block in blocks if not peaks[block] <= HALF_MAX / HEADROOM)
    half = tuple(block for block in blocks if block not in kept)
    return HalfPrecision(policy, half, kept, peaks, seeds)


def _is_bounded(config: Config) -> bool:
    """Whether the clamp keeps the input and output of every convolution within half precision."""
    if config.conv_clamp is None:
        return False
    # The half is left to filters that overshoot the clamp, as StyleGAN3's do behind it.
    return config.conv_clamp * math.sqrt(config.max_fan_in) <= HALF_MAX / 2


def _measure(
    checkpoint: Checkpoint, blocks: tuple[str, ...], seeds: int, progress: Progress
) -> dict[str, float]:
    """The largest absolute value of every block in its half-precision form, held in float32.

    Images at psi 1 with the checkpoint's noise; conditional networks take one class after another.
    """
    config = checkpoint.config
    watched = build_synthesis_graph(checkpoint, half_blocks=blocks, half="float32", watch=True)
    threads = choose_threads(config.work)
    mapping = open_graph(build_mapping_graph(checkpoint), threads=threads)
    synthesis = open_graph(watched, threads=threads)
    peaks = dict.fromkeys(blocks, 0.0)
    outputs = [f"peak_{block}" for block in blocks]
    batch = max(1, min(16, 2**18 // math.prod(config.img_shape)))  # to bound the memory
    for start in range(0, seeds, batch):
        chunk = range(start, min(start + batch, seeds))
        latents = make_latent_feeds(config, make_z(chunk, config.z_dim), first=start)
        ws = mapping.run(["ws"], latents)[0]
        found = synthesis.run(outputs, make_feeds(checkpoint, ws))
        for block, peak in zip(blocks, found, strict=True):
            peaks[block] = float(np.maximum(peaks[block], peak))  # keeps a NaN
        progress(chunk.stop, seeds)
    return peaks
