"""An encoder in half precision that is good enough: its parts that cost too much, in float32.

Judged as the generator's graph is: by the pictures that are drawn of its codes, which have to reach
60 dB of what is drawn of float32's. Codes have no unit that says whether an eye would see it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stylert.export.encoders.config import Encoder
from stylert.export.encoders.graph import build_encoder_graph, list_blocks
from stylert.export.graph_session import open_graph
from stylert.export.half_search import GOOD_DB
from stylert.runtime.files.json_files import keep_finite
from stylert.runtime.proof.parity import TOLERANCES, compare

__all__ = ["HalfEncoder", "choose_half_encoder", "tell_half_encoder"]

Draw = Callable[[np.ndarray], np.ndarray]  # ws -> pictures [N, C, H, W] float32


@dataclass(frozen=True)
class HalfEncoder:
    """What was found.

    Attributes:
        blocks: those that compute in half precision; empty = there is no graph.
        moved: those that would cost too much, worst first, and the PSNR in dB of each alone.
        psnr_db: of the worst picture; of all blocks together, where there is no graph.
    """

    blocks: tuple[str, ...]
    moved: dict[str, float]
    psnr_db: float

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types; what is infinite is None."""
        moved = {name: keep_finite(db) for name, db in self.moved.items()}
        psnr = keep_finite(self.psnr_db)
        return {"half_blocks": list(self.blocks), "moved": moved, "psnr_db": psnr}


def choose_half_encoder(
    encoder: Encoder,
    image: tuple[int, int, int],
    feeds: dict[str, np.ndarray],
    expected: np.ndarray,
    draw: Draw,
) -> HalfEncoder:
    """Put as much of an encoder into half precision as its pictures allow.

    Args:
        encoder: the encoder.
        image: channels, height and width of the generator's pictures.
        feeds: the inputs of its graph.
        expected: ws [N, num_ws, w_dim] float32 that PyTorch makes of them.
        draw: the generator.
    """
    pictures = draw(expected)

    def measure(blocks: Sequence[str]) -> float:
        with np.errstate(over="ignore"):  # the codes show it
            graph = build_encoder_graph(encoder, image, blocks)
        (ws,) = open_graph(graph).run(["ws"], feeds)
        if not np.isfinite(ws).all():
            return -np.inf
        return compare(pictures, draw(ws)).psnr_db

    left = list(list_blocks(encoder.config))
    whole = measure(left)
    if whole >= TOLERANCES["fp16"].psnr_db:
        return HalfEncoder(tuple(left), {}, whole)
    costs = {block: measure((block,)) for block in left}
    moved = {}
    for block in sorted(left, key=lambda block: costs[block]):
        left.remove(block)
        moved[block] = costs[block]
        if left:
            psnr = measure(left)
            if psnr >= GOOD_DB:
                return HalfEncoder(tuple(left), moved, psnr)
    return HalfEncoder((), moved, whole)


def tell_half_encoder(half: dict[str, Any] | None) -> str | None:
    """Which parts of the encoder were moved to float32, as a sentence; None = none was.

    Args:
        half: what `HalfEncoder.to_json` made.
    """
    if half is None or not half["moved"]:
        return None
    if not half["half_blocks"]:
        return "There is no encoder in half precision: none of its parts reaches 60 dB so."
    moved = ", ".join(half["moved"])
    return f"Of the encoder in half precision, {moved} compute in float32: they cost too much."
