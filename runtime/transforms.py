"""Moving and turning the picture of a StyleGAN3: the transform that its graph takes.

The graph wants the inverse of what happens to the picture: where in the untransformed picture each
place is to be found. Places are (x, y) from the centre, x to the right and y down, in sides of the
picture, as in the original tools; of one that is not square, in its longer sides.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stylert.runtime.errors import InvalidInput
from stylert.runtime.latents import check_floats

__all__ = ["TRANSFORM", "invert_transforms", "make_transform_inputs"]

TRANSFORM = "transform"  # the input's name

_FARTHEST = 1000.0  # beyond it, float32 loses the phase of the waves
_MOST_DEGREES = 1e6


def make_transform_inputs(
    transform: Any = None,
    translate: Any = None,
    rotate: Any = None,
    *,
    batch: int,
    taken: bool,
) -> dict[str, np.ndarray]:
    """The transforms of a batch as the synthesis graph takes them.

    Args:
        transform: inverse matrices [3, 3] or [N, 3, 3], the last row 0 0 1; None = as below.
        translate: (x, y) for all images or [N, 2], see `invert_transforms`; None = none.
        rotate: degrees for all images or [N]; None = none.
        batch: N.
        taken: whether the graph has such an input.

    Returns:
        {'transform': [N, 3, 3] float32}, or nothing for a graph without it.

    Raises:
        InvalidInput: a shape, dtype or value that does not fit; a matrix and one of the others; or
            any of them for a graph that takes none.
    """
    given = {"transform": transform, "translate": translate, "rotate": rotate}
    names = [name for name, value in given.items() if value is not None]
    if not taken:
        if names:
            raise InvalidInput(
                f"{names[0]}: this generator cannot move its pictures, expected None. "
                "Only StyleGAN3 can."
            )
        return {}
    if transform is not None and len(names) > 1:
        raise InvalidInput(f"transform: got {names[1]} as well, expected one of the two.")
    if transform is None and names:
        shift = _rows("translate", (0.0, 0.0) if translate is None else translate, batch, (2,))
        angle = _rows("rotate", 0.0 if rotate is None else rotate, batch, (), most=_MOST_DEGREES)
        return {TRANSFORM: invert_transforms(shift, angle)}
    matrices = _rows("transform", np.eye(3) if transform is None else transform, batch, (3, 3))
    if (matrices[:, 2] != (0, 0, 1)).any():
        raise InvalidInput("transform: got another last row than 0 0 1, expected plane motions.")
    return {TRANSFORM: matrices}


def invert_transforms(translate: np.ndarray, rotate: np.ndarray) -> np.ndarray:
    """The matrices that turn a picture about its centre, and then move it.

    Args:
        translate: [N, 2]: to the right and down, in sides of the picture.
        rotate: [N]: degrees, counter-clockwise.

    Returns:
        [N, 3, 3] float32, the inverse of what happens to the picture.
    """
    angle = np.deg2rad(rotate.astype(np.float64))
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = translate.astype(np.float64).T
    # The rotation's inverse is its transpose, and the way back goes against the shift.
    matrices = np.zeros((len(rotate), 3, 3))
    matrices[:, 0] = np.stack([cos, -sin, y * sin - x * cos], axis=1)
    matrices[:, 1] = np.stack([sin, cos, -x * sin - y * cos], axis=1)
    matrices[:, 2, 2] = 1
    return matrices.astype(np.float32)


def _rows(
    name: str, value: Any, batch: int, shape: tuple[int, ...], *, most: float = _FARTHEST
) -> np.ndarray:
    """Numbers for all images, or a row for each, as [N, *shape]."""
    rows = check_floats(name, value, kinds="fiu")
    if rows.shape not in (shape, (1, *shape), (batch, *shape)):
        one = shape or "a number"
        raise InvalidInput(f"{name}: got shape {rows.shape}, expected {one} or {(batch, *shape)}.")
    if (np.abs(rows) > most).any():
        raise InvalidInput(f"{name}: got {np.abs(rows).max():.3g}, expected up to {most:g}.")
    return np.array(np.broadcast_to(rows, (batch, *shape)))
