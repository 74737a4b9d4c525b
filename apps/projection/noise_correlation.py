"""What keeps noise that is found from becoming a picture: it must not correlate with itself."""

from __future__ import annotations

import numpy as np

from stylert.apps.projection.starting import halve

__all__ = ["correlate", "normalise"]

SMALLEST = 8  # pixels


def correlate(noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much noise correlates with itself, one pixel further, at its size and halved until 8.

    Args:
        noise: [N, 1, h, w].

    Returns:
        The sum over sizes and both directions of the squared mean product, [N]; and its gradient.
    """
    value = np.zeros(len(noise), noise.dtype)
    gradient = np.zeros_like(noise)
    for axis in (2, 3):
        mean = (noise * np.roll(noise, 1, axis)).mean((1, 2, 3), keepdims=True)
        value += mean[:, 0, 0, 0] ** 2
        around = np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
        gradient += 2 * mean * around / noise[0].size
    if min(noise.shape[2:]) > SMALLEST:
        of_half, inner = correlate(halve(noise))
        value += of_half
        spread = np.repeat(np.repeat(inner, 2, axis=2), 2, axis=3) / 4
        gradient[:, :, : spread.shape[2], : spread.shape[3]] += spread
    return value, gradient


def normalise(noise: np.ndarray) -> np.ndarray:
    """Noise of mean 0 and mean square 1, each image's."""
    centred = noise - noise.mean((1, 2, 3), keepdims=True)
    square = np.square(centred).mean((1, 2, 3), keepdims=True)
    scaled: np.ndarray = centred / np.sqrt(np.maximum(square, 1e-12))
    return scaled.astype(np.float32)
