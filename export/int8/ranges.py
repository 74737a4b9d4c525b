"""What 8 bits have to hold: factors of channels and images, and steps. NumPy only.

An input's channels differ in size by 3 to 10, and images by as much; one step serves all of them.
The channels are brought together by what the weight takes back: r = sqrt(max |x| / max |W|), so
that neither of the two gets all of the spread (SmoothQuant). The images are brought together by
what their styles tell beforehand: how large the input can become.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Quantised", "Seen", "quantise"]

MOST = 127  # of 8 bits with a sign, alike on both sides
PERCENTILE = 99  # of the images, for what a style tells
SMALLEST = 1e-3  # share of the median of images' factors: none may be 0


@dataclass(frozen=True)
class Seen:
    """What an input of a convolution was, in the images of the calibration.

    Attributes:
        peaks: largest absolute values [K, I] of each image and channel.
        styles: what they were multiplied by [K, I], None = nothing that differs between images.
    """

    peaks: np.ndarray
    styles: np.ndarray | None


@dataclass(frozen=True)
class Quantised:
    """A convolution in 8 bits.

    Attributes:
        integers: the weight, as that of the node, int8.
        steps: of the weight's output channels [O] float32.
        step: of the input.
        channels: what the input's channels are divided by [I], None = nothing.
        reach: what a style times these [I] tells of an image's range, None = one for all images.
        smallest: the least of what an image is divided by.
    """

    integers: np.ndarray
    steps: np.ndarray
    step: float
    channels: np.ndarray | None
    reach: np.ndarray | None
    smallest: float = 0.0


def quantise(
    weight: np.ndarray, output_axis: int, seen: Seen, *, by_channel: bool, by_image: bool
) -> Quantised:
    """Choose the factors and the steps, and round the weight.

    Args:
        weight: [O, I, k, k], or [I, O, k, k] with an `output_axis` of 1.
        output_axis: of the weight.
        seen: of its input.
        by_channel: the input's channels can be divided by factors.
        by_image: its images, too.
    """
    turned = np.moveaxis(weight.astype(np.float64), output_axis, 0)  # [O, I, k, k]
    peaks = seen.peaks.astype(np.float64)  # [K, I]
    channels = _balance(peaks.max(axis=0), np.abs(turned).max(axis=(0, 2, 3)))  # [I]
    if by_channel:
        turned, peaks = turned * channels[:, None, None], peaks / channels
    reach, smallest = None, 0.0
    if by_image and by_channel and seen.styles is not None:
        styles = np.abs(seen.styles.astype(np.float64)) / channels  # [K, I]
        told = np.divide(peaks, styles, out=np.zeros_like(peaks), where=styles > 0)
        reach = np.percentile(told, PERCENTILE, axis=0)  # [I]
        images = (styles * reach).max(axis=1)  # [K]
        smallest = float(SMALLEST * np.median(images)) or 1.0
        peaks = peaks / np.maximum(images, smallest)[:, None]
    steps = _step(np.abs(turned).max(axis=(1, 2, 3)))  # [O]
    integers = np.rint(turned / steps[:, None, None, None]).astype(np.int8)
    return Quantised(
        integers=np.ascontiguousarray(np.moveaxis(integers, 0, output_axis)),
        steps=steps.astype(np.float32),
        step=float(_step(peaks.max())),
        channels=channels if by_channel else None,
        reach=reach,
        smallest=smallest,
    )


def _balance(peaks: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The factors [I]; a channel that is dead on either side gets that of most others."""
    alive = (peaks > 0) & (weights > 0)
    if not alive.any():
        return np.ones_like(peaks)
    factors = np.sqrt(np.where(alive, peaks, 1) / np.where(alive, weights, 1))
    balanced: np.ndarray = np.where(alive, factors, np.median(factors[alive]))
    return balanced


def _step(most: np.ndarray) -> np.ndarray:
    """What one integer stands for; of what is always 0, anything."""
    return np.where(most > 0, most, 1) / MOST
