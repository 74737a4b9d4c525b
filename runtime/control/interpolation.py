"""Ways from keyframe to keyframe: slerp between latents z, straight lines and curves between ws.

A way takes keyframes [K, ...] floats (latents are [K, D]) and times [T] in [0, K - 1], where time i
is keyframe i, and gives [T, ...] float32. On a loop it goes on from the last keyframe to the first:
times may be of any size, and time K is keyframe 0 again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from stylert.runtime.arguments import check_integer, shown
from stylert.runtime.errors import InvalidInput
from stylert.runtime.latents import read_array

__all__ = [
    "CURVES",
    "Curve",
    "cubic",
    "make_frame_times",
    "linear",
    "slerp",
    "slerp_path",
    "check_times",
]

Curve = Literal["slerp", "linear", "cubic"]

MAX_FRAMES = 10_000_000  # more is a mistake, and the times alone would fill the memory

_PARALLEL = 1e-8  # sine of an angle that has no plane of its own in float64

# Catmull and Rom, "A class of local interpolating splines" (1974): the weights of the points before
# a segment, at its two ends, and behind it, by the powers of the share 0..3.
_CATMULL_ROM = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2


def make_frame_times(keyframes: int, frames: int, *, loop: bool) -> np.ndarray:
    """The times of evenly spaced frames, the first of them on keyframe 0.

    Args:
        keyframes: how many, at least 2.
        frames: from one keyframe to the next.
        loop: go back to keyframe 0, which is then not drawn twice; else end on the last keyframe.

    Returns:
        [keyframes * frames] float64 on a loop, else [(keyframes - 1) * frames + 1].

    Raises:
        InvalidInput: too few keyframes or frames, or too many.
    """
    if keyframes < 2:
        raise InvalidInput(f"keyframes: got {keyframes}, expected at least 2.")
    check_integer("frames", frames, 1, MAX_FRAMES // keyframes)
    count = keyframes * frames if loop else (keyframes - 1) * frames + 1
    return np.arange(count) / frames


def check_times(times: Any, keyframes: int, *, loop: bool) -> np.ndarray:
    """Check times on a way: one or several, within its ends.

    Args:
        times: a number or [T].
        keyframes: how many, at least 2.
        loop: whether the way goes back to keyframe 0.

    Returns:
        [T] float64.

    Raises:
        InvalidInput: too few keyframes, or times that are no numbers, or beyond the ends.
    """
    if keyframes < 2:
        raise InvalidInput(f"keyframes: got {keyframes}, expected at least 2.")
    places = np.atleast_1d(read_array("times", times, "a number or several"))
    if places.dtype.kind not in "fiu" or places.ndim != 1 or not len(places):
        raise InvalidInput(f"times: got {shown(times)}, expected a number or several.")
    end = keyframes if loop else keyframes - 1
    if not ((places >= 0) & (places <= end)).all():  # NaN is neither
        raise InvalidInput(f"times: got {shown(times)}, expected 0 to {end}.")
    return places.astype(np.float64)


def slerp(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Turn from one latent to another at an even speed (Shoemake 1985).

    The direction follows the great circle, and the length goes evenly from one to the other: a
    straight line between two normal latents would pass nearer to the origin than such latents are.
    (The mapping network takes the direction alone.) Opposite latents have no great circle of their
    own: they turn by way of the coordinate axis that is farthest from both.

    Args:
        a: [..., D] floats, none of them zero.
        b: the same.
        share: [...]: 0 = a, 1 = b.

    Returns:
        [..., D] float32.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    length_a, length_b = (np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    start, end = a / length_a, b / length_b
    cos = (start * end).sum(axis=-1, keepdims=True)
    across = end - cos * start  # in the plane of both, at a right angle to the start
    sin = np.linalg.norm(across, axis=-1, keepdims=True)
    across = np.where(sin < _PARALLEL, _right_angle(start), across)
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    share = np.asarray(share, np.float64)[..., None]
    angle = share * np.arctan2(sin, cos)
    length = (1 - share) * length_a + share * length_b
    turned = length * (np.cos(angle) * start + np.sin(angle) * across)
    return np.asarray(turned, np.float32)


def slerp_path(keyframes: np.ndarray, times: np.ndarray, *, loop: bool = False) -> np.ndarray:
    """From latent to latent by `slerp`; the direction changes at once at a keyframe."""
    left, share = _segments(len(keyframes), times, loop)
    return slerp(keyframes[left], keyframes[(left + 1) % len(keyframes)], share)


def linear(keyframes: np.ndarray, times: np.ndarray, *, loop: bool = False) -> np.ndarray:
    """Straight lines from keyframe to keyframe; the direction changes at once at a keyframe."""
    left, share = _segments(len(keyframes), times, loop)
    share = share.reshape(-1, *[1] * (keyframes.ndim - 1))
    right = keyframes[(left + 1) % len(keyframes)]
    return np.asarray((1 - share) * keyframes[left] + share * right, np.float32)


def cubic(keyframes: np.ndarray, times: np.ndarray, *, loop: bool = False) -> np.ndarray:
    """A smooth curve through the keyframes: a Catmull-Rom spline, whose speed never jumps.

    At a keyframe it moves in parallel to the line between its neighbours; on a loop that holds for
    all, else it leaves the first one and meets the last one straight.
    """
    K = len(keyframes)
    left, share = _segments(K, times, loop)
    points = [keyframes[(left + i) % K] for i in (-1, 0, 1, 2)]  # each [T, ...]
    if not loop:  # the points beyond the ends lie straight on
        points[0][left == 0] = 2 * keyframes[0] - keyframes[1]
        points[3][left == K - 2] = 2 * keyframes[-1] - keyframes[-2]
    weights = np.power(share[:, None], np.arange(4)) @ _CATMULL_ROM  # [T, 4]
    weights = weights.reshape(-1, 4, *[1] * (keyframes.ndim - 1))
    curve = sum(weights[:, i] * point for i, point in enumerate(points))
    return np.asarray(curve, np.float32)


CURVES: dict[Curve, Callable[..., np.ndarray]] = {
    "slerp": slerp_path,
    "linear": linear,
    "cubic": cubic,
}


def _segments(keyframes: int, times: np.ndarray, loop: bool) -> tuple[np.ndarray, np.ndarray]:
    """The keyframe before each time, and the share of the way to the next one."""
    times = np.asarray(times, np.float64)
    left = np.floor(times).astype(int)
    left = left % keyframes if loop else np.clip(left, 0, keyframes - 2)
    return left, times % keyframes - left if loop else times - left


def _right_angle(direction: np.ndarray) -> np.ndarray:
    """A vector at a right angle to directions [..., D] of length 1."""
    axis = np.zeros_like(direction)
    nearest_zero = np.abs(direction).argmin(axis=-1)[..., None]
    np.put_along_axis(axis, nearest_zero, 1.0, axis=-1)
    return np.asarray(axis - (axis * direction).sum(axis=-1, keepdims=True) * direction)
