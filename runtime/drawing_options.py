"""What a picture depends on besides its seed or its styles: the drawing options, said once.

They are keyword arguments of `Generator`'s methods, fields of HTTP requests, of data-set jobs and
of the command line; all hand them on as one `DrawingOptions`. `GraphInputs` checks them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, get_args

import numpy as np

from stylert.runtime.arguments import check_choice

__all__ = ["ClassIdx", "DrawingOptions", "MotionOptions", "NoiseMode", "Output", "PictureOptions"]
__all__ += ["StyleOptions", "WalkOptions", "check_output", "refuse_unknown"]

ClassIdx = int | str | Sequence[int | str] | np.ndarray | None  # one for all, or one for each
NoiseMode = Literal["const", "none", "seeded"]
Output = Literal["image", "img"]


class StyleOptions(TypedDict, total=False):
    """How seeds become styles.

    Attributes:
        truncation_psi: a number, [N], or [N, num_ws]; 1 = as trained, 0 = the mean image. Or by
            layers: {'coarse': 0.5, 'middle': 0.7}. None = the family's default, with its cutoff.
        truncation_cutoff: layers from this one on are not truncated, None = all are.
        class_idx: one class for all images, or one per image: numbers, or names where the bundle
            has them; conditional generators only. None = the seed mod c_dim.
        labels: soft labels [c_dim] or [N, c_dim] instead of class_idx, or a mix of classes by
            their weights: {3: 0.7, 'cat': 0.3}. StyleGAN-XL has no mixes: it looks a class up.
    """

    truncation_psi: Any
    truncation_cutoff: int | None
    class_idx: ClassIdx
    labels: Any


class MotionOptions(TypedDict, total=False):
    """Where the picture lies; StyleGAN3 only, which draws what comes into view.

    Attributes:
        translate: move the pictures to the right and down: (x, y) for all or [N, 2], in sides of
            the picture, the longer ones of one that is not square.
        rotate: turn the pictures about their centre, counter-clockwise: degrees for all or [N];
            -R is made for it. They are turned before they are moved.
        transform: instead, where in the unmoved picture each place (x, y, 1) is to be found:
            matrices [3, 3] or [N, 3, 3] with the last row 0 0 1; the origin is the centre.
    """

    translate: Any
    rotate: Any
    transform: Any


class PictureOptions(MotionOptions, total=False):
    """How styles become pictures.

    Attributes:
        noise_mode: 'const' (the checkpoint's own, the default), 'none', or 'seeded'.
        noise_seed: for 'seeded': one for all images, or one per image; None = the image's seed.
        noise: noise of your own instead: [1, 1, h, w] or [N, 1, h, w] floats by input name.
        style_offset: what is added to the styles of all layers, [S] or [N, S] floats; for a bundle
            with style space alone, see `stylert.runtime.control.style_space`.
    """

    noise_mode: NoiseMode
    noise_seed: int | Sequence[int] | np.ndarray | None
    noise: Mapping[str, Any] | None
    style_offset: Any


class WalkOptions(StyleOptions, MotionOptions, total=False):
    """What a walk takes: what is one per image is one per frame, and a class one per keyframe."""


class DrawingOptions(StyleOptions, PictureOptions, total=False):
    """All of them: how seeds become pictures."""


def refuse_unknown(given: Mapping[str, Any], options: type) -> None:
    """Refuse keyword arguments that are none of the options.

    Raises:
        TypeError: one of another name, as Python itself raises it.
    """
    for name in given.keys() - options.__annotations__.keys():
        known = ", ".join(options.__annotations__)
        raise TypeError(f"got an unexpected keyword argument {name!r}, expected one of {known}.")


def check_output(output: object, on_device: object = False) -> None:
    """Refuse what is neither 'image' nor 'img', and an `on_device` that is no bool.

    Raises:
        InvalidInput: it is one of those.
    """
    if not (isinstance(output, str) and output in get_args(Output) and isinstance(on_device, bool)):
        check_choice("output", output, get_args(Output))
        check_choice("on_device", on_device, (True, False))
