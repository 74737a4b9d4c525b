"""What a bundle says of its encoder, checked: what it takes, and how often it is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stylert.runtime.bundle import ENCODER, MANIFEST, Bundle
from stylert.runtime.errors import BundleError, InvalidInput

__all__ = ["EncoderFacts", "read_encoder_facts"]

PICTURES = ("photo", "sketch", "labels")
MAX_PASSES = 100
_MOST = 4096  # pixels a side, or classes


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class EncoderFacts:
    """What an encoder takes.

    Attributes:
        title: what made it: 'e4e', 'ReStyle pSp', ...
        picture: 'photo', 'sketch' or 'labels'.
        channels: of that picture; of label maps, the classes.
        height: of that picture; others are resized, whatever their shape.
        width: likewise.
        passes: how often it is run; it sees what was drawn in between, where there are several.
        start: the codes of the first pass, [num_ws, w_dim] float32; None = it sees no drawing.
    """

    title: str
    picture: str
    channels: int
    height: int
    width: int
    passes: int
    start: np.ndarray | None


def read_encoder_facts(bundle: Bundle) -> EncoderFacts:
    """The facts of a bundle's encoder.

    Raises:
        InvalidInput: it has none.
        BundleError: the manifest does not say what the graph does.
    """
    if ENCODER not in bundle.graphs:
        raise InvalidInput(
            f"Bundle {bundle.path} has no encoder, which inverts pictures. Add one that was "
            f"trained with this generator: stylert encoder {bundle.path} FILE.pt"
        )
    try:
        return _read(bundle, bundle.manifest["encoder"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BundleError(
            f"Bundle {bundle.path}: {MANIFEST} does not say what its encoder takes "
            f"({type(error).__name__}: {error}). Add the encoder again."
        ) from None


def _read(bundle: Bundle, facts: Mapping[str, Any]) -> EncoderFacts:
    spec = bundle.spec
    shapes = {t.name: t.shape for t in bundle.graphs[ENCODER].inputs}
    channels, height, width = shapes["photo"][1:]
    if not all(type(n) is int and 1 <= n <= _MOST for n in (channels, height, width)):
        raise ValueError(f"photo has the shape {shapes['photo']!r:.60}")
    feeds_back = shapes.keys() >= {"img", "codes"}
    if not feeds_back and shapes.keys() != {"photo"}:
        raise ValueError(f"it takes {sorted(shapes)!r:.60}")
    passes = facts["passes"]
    if type(passes) is not int or not 1 <= passes <= (MAX_PASSES if feeds_back else 1):
        raise ValueError(f"passes is {passes!r:.40}")
    picture = facts["picture"]
    if picture not in PICTURES or (picture == "photo" and channels != 3):
        raise ValueError(f"picture is {picture!r:.40} of {channels} channels")
    start = None
    if feeds_back:
        start = np.array(facts["start"], np.float32)
        if start.shape not in ((spec.w_dim,), (spec.num_ws, spec.w_dim)):
            raise ValueError(f"start has the shape {start.shape!r:.40}")
        if not np.isfinite(start).all():
            raise ValueError("start has NaN or infinity")
        start = np.array(np.broadcast_to(start, (spec.num_ws, spec.w_dim)))
    return EncoderFacts(
        title=str(facts["title"])[:80],
        picture=picture,
        channels=int(channels),
        height=int(height),
        width=int(width),
        passes=passes,
        start=start,
    )
