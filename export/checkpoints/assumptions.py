"""What a file may leave open, and a user may say: clamp, activation, learning rate, colours."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from stylert.export.checkpoints.configs.config import ACTIVATIONS
from stylert.runtime.errors import CheckpointError, InvalidInput

__all__ = ["COLORS", "NOTHING_SAID", "Assumptions"]

COLORS = ("rgb", "bgr")
_MOST_HALF = 64


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """What to assume where a file does not tell; None = what its family usually has.

    Raises:
        InvalidInput: a value that no network has.
    """

    conv_clamp: float | None = None  # of all activations; math.inf = there is none
    activation: str | None = None  # of all layers: one of `ACTIVATIONS`
    mapping_lr: float | None = None  # the multiplier of the mapping network's learning rate
    num_fp16_res: int | None = None  # how many of the highest resolutions were trained in half
    colors: str | None = None  # the order of the channels, one of `COLORS`

    def __post_init__(self) -> None:
        """Refuse values that no network has."""
        _check("conv_clamp", self.conv_clamp, _is_positive, "a number above 0, or none")
        _check("activation", self.activation, ACTIVATIONS.__contains__, ", ".join(ACTIVATIONS))
        _check("mapping_lr", self.mapping_lr, _is_finite, "a number above 0")
        _check("num_fp16_res", self.num_fp16_res, _is_count, f"0 to {_MOST_HALF}")
        _check("colors", self.colors, COLORS.__contains__, " or ".join(COLORS))

    def refuse_others(self, *open_ones: str) -> None:
        """Refuse what was said of a file that tells it, or that has no such thing.

        Args:
            *open_ones: what the file leaves open.

        Raises:
            CheckpointError: something else was said.
        """
        said = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        if wrong := [name for name in said if name not in open_ones]:
            raise CheckpointError(
                f"got {wrong[0]}={getattr(self, wrong[0])!r}, which files of this kind tell or "
                "have not: leave it out"
            )


def _check(name: str, value: Any, is_good: Any, expected: str) -> None:
    if value is not None and not is_good(value):
        raise InvalidInput(f"{name}: got {value!r}, expected {expected}.")


def _is_positive(value: Any) -> bool:
    return type(value) in (int, float) and value > 0


def _is_finite(value: Any) -> bool:
    return _is_positive(value) and value < math.inf


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST_HALF


NOTHING_SAID = Assumptions()
