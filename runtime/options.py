"""What the drawing methods of `Generator` take besides, and the check of the output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, get_args

from stylert.runtime.arguments import check_choice

__all__ = ["NoiseMode", "Output", "SeedOptions", "SynthesisOptions", "check_output"]

NoiseMode = Literal["const", "none", "seeded"]
Output = Literal["image", "img"]


class SynthesisOptions(TypedDict, total=False):
    """What `synthesize` takes besides, for its overloads."""

    noise_mode: NoiseMode
    noise_seed: int | Sequence[int] | None
    noise: Mapping[str, Any] | None
    translate: Any
    rotate: Any
    transform: Any


class SeedOptions(TypedDict, total=False):
    """What `generate` takes besides, for its overloads."""

    truncation_psi: Any
    truncation_cutoff: int | None
    class_idx: int | Sequence[int] | None
    labels: Any
    noise_mode: NoiseMode
    noise_seed: int | Sequence[int] | None
    translate: Any
    rotate: Any
    transform: Any


def check_output(output: object, on_device: object = False) -> None:
    """Refuse what is neither 'image' nor 'img', and an `on_device` that is no bool.

    Raises:
        InvalidInput: it is one of those.
    """
    check_choice("output", output, get_args(Output))
    check_choice("on_device", on_device, (True, False))
