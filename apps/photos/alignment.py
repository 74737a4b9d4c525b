"""The crop of FFHQ: a face upright, its eyes and mouth where all faces of the data set have them.

From Karras et al. 2019 (A Style-Based Generator Architecture), appendix C. Encoders of faces know
pictures that are cropped so, and make other people of all others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stylert.runtime.errors import InvalidInput
from stylert.runtime.files.regular import check_regular

__all__ = ["align_face", "find_crop", "read_landmarks"]

_EYES, _MOUTH = slice(0, 2), slice(3, 5)
_MARGIN = 0.1  # of the square's side, that is mirrored beyond the picture's edge
_FARTHEST = 2.0  # sides of the square that a landmark may lie outside of the picture
_LARGEST = 8.0  # sides of the picture that the square may have


def find_crop(landmarks: np.ndarray) -> np.ndarray:
    """The corners of the square that FFHQ cuts out for a face.

    Args:
        landmarks: [5, 2] pixels (x, y) of the eyes, the nose and the corners of the mouth, in each
            pair the one that is on the left of the picture first.

    Returns:
        [4, 2] pixels: top left, bottom left, bottom right, top right of the face.

    Raises:
        InvalidInput: another shape, or the eyes or the mouth are all in one point.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise InvalidInput(f"landmarks: got shape {points.shape}, expected 5 points (x, y).")
    eyes, mouth = points[_EYES].mean(axis=0), points[_MOUTH].mean(axis=0)
    across = points[1] - points[0]
    down = mouth - eyes
    x = across - _turn(down)
    length = np.hypot(*x)
    if not length > 1e-6:
        raise InvalidInput(
            "landmarks: got eyes and a mouth in one point, expected those of a face."
        )
    x *= max(2 * np.hypot(*across), 1.8 * np.hypot(*down)) / length
    y = _turn(x)
    middle = eyes + 0.1 * down
    return np.stack([middle - x - y, middle - x + y, middle + x + y, middle + x - y])


def align_face(image: np.ndarray, landmarks: np.ndarray, size: int) -> np.ndarray:
    """Cut out the square of `find_crop`, mirrored where it reaches beyond the picture.

    Args:
        image: [H, W, 3] uint8.
        landmarks: see `find_crop`.
        size: pixels a side of the result.

    Returns:
        [size, size, 3] uint8.

    Raises:
        InvalidInput: see `find_crop`; or the face is far outside of the picture.
    """
    from PIL import Image

    quad = find_crop(landmarks)
    side = float(np.hypot(*(quad[3] - quad[0])))
    height, width = image.shape[:2]
    low, high = quad.min(axis=0), quad.max(axis=0)
    outside = max(0.0, *(-low), *(high - (width, height)))
    if outside > _FARTHEST * side or not 4 <= side <= _LARGEST * max(width, height):
        raise InvalidInput(
            f"landmarks: got a face of {side:.0f} pixels, {outside:.0f} of them outside of the "
            "picture, expected one that is in it. Are they of this picture, as it is shown?"
        )
    # What is far larger than the result is shrunk first, by whole steps: so nothing is skipped.
    step = max(1, int(side / size / 2))
    if step > 1:
        image = np.asarray(Image.fromarray(image).reduce(step))
        quad = quad / step
    pad = int(outside / step + _MARGIN * side / step) + 1
    padded = np.pad(image, [(pad, pad), (pad, pad), (0, 0)], mode="symmetric")
    corners = tuple((quad + pad).flatten().tolist())
    drawn = Image.fromarray(padded).transform(
        (2 * size, 2 * size), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR
    )
    return np.asarray(drawn.reduce(2))


def read_landmarks(path: Path) -> Mapping[str, np.ndarray]:
    """Landmarks [5, 2] by the name of the picture, from a JSON file: {"a.jpg": [[x, y], ...]}.

    Raises:
        InvalidInput: no such file, or another content.
    """
    try:
        check_regular(path)
        if path.stat().st_size > 2**26:
            raise ValueError("it is too large")
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = {str(name): np.array(points, np.float64) for name, points in read.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InvalidInput(
            f'landmarks: cannot read {path} ({reason:.80}), expected JSON as {{"photo.jpg": '
            "[[x, y] of left eye, right eye, nose, left and right corner of the mouth]}."
        ) from None
    for points in found.values():
        find_crop(points)
    return found


def _turn(vector: np.ndarray) -> np.ndarray:
    """A quarter turn, clockwise as pictures are seen."""
    return np.array([-vector[1], vector[0]])
