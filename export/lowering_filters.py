"""The filtered leaky ReLU of StyleGAN3 as plain convolutions or matrices. NumPy only, in float64.

It upsamples, filters, applies the nonlinearity, filters and downsamples (StyleGAN3, figure 4b).
Along one axis, with x zero outside of its samples, and 0 where a fraction is not whole:

    high[o] = sum over k of up_fir[k] * up * x[(o + t - 1 - k - before) / up]
    out[q]  = sum over k of down_fir[k] * act(high)[down * q + t - 1 - k]

As matrices that is D @ act(U @ x), along each axis. As convolutions, the samples of `high` are
split into phases that all live at a low rate: a frame is lcm(up, down) samples of `high`, one of
each phase. Every phase is a correlation of the input, and every output one of the phases, so that
no sample is made which is not needed, and none of the high rate has to be put in its place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Phases", "split_into_bands", "make_down_matrix", "split_into_phases", "make_up_matrix"]


@dataclass(frozen=True, eq=False)
class Phases:
    """A filtered activation along one axis, as correlations at the rate of its frames.

    Phase p of frame m reads the inputs from `first + stride * m` on, with `up[p]`. Output s of
    frame m reads all phases from frame m on, with `down[s]`.
    """

    stride: int  # input samples of a frame
    first: int  # input sample where frame 0 begins to read; negative = zeros before the input
    frames: int  # frames of the output
    up: np.ndarray  # [P, t]
    down: np.ndarray  # [S, P, t], or of a 2-D filter [S, S, P, P, t, t]: rows, then columns

    @property
    def samples(self) -> int:
        """Input samples that are read."""
        frames = self.frames + int(self.down.shape[-1]) - 1
        return self.stride * (frames - 1) + int(self.up.shape[1])


def split_into_phases(
    up_fir: np.ndarray,
    down_fir: np.ndarray,
    *,
    up: int,
    down: int,
    before: int,
    out_size: int,
    frame: int | None = None,
) -> Phases:
    """Split a filtered activation into the phases of its high rate.

    Args:
        up_fir: [t], sum 1.
        down_fir: [t] or [t, t], sum 1.
        up: factor of the upsampling.
        down: factor of the downsampling.
        before: zeros put before the upsampled signal, negative = samples cut off.
        out_size: samples of the output; the last frame may have more.
        frame: samples of the high rate in a frame, a multiple of lcm(up, down), which is None.
    """
    count = frame or math.lcm(up, down)
    taps = [_list_up_taps(up_fir, up, before, phase) for phase in range(count)]
    places = [place for phase in taps for place in phase]
    first, last = min(places), max(places)
    kernels = np.zeros((count, last - first + 1))
    for kernel, phase in zip(kernels, taps, strict=True):
        for place, weight in phase.items():
            kernel[place - first] = weight
    return Phases(
        stride=count // up,
        first=first,
        frames=-(-out_size * down // count),
        up=kernels,
        down=_make_down_kernels(down_fir, count, down),
    )


def make_up_matrix(fir: np.ndarray, size: int, *, up: int, padding: tuple[int, int]) -> np.ndarray:
    """Upsampling, padding and the filter along one axis.

    Args:
        fir: [t], sum 1.
        size: samples of the input.
        up: factor.
        padding: zeros put before and after the upsampled signal, negative = samples cut off.

    Returns:
        [high, size].
    """
    matrix = np.zeros((size * up + sum(padding) - len(fir) + 1, size))
    for o, row in enumerate(matrix):
        for place, weight in _list_up_taps(fir, up, padding[0], o).items():
            if 0 <= place < size:
                row[place] = weight
    return matrix


def make_down_matrix(fir: np.ndarray, size: int, *, down: int) -> np.ndarray:
    """The filter and the downsampling along one axis.

    Args:
        fir: [t], sum 1.
        size: samples of the input.
        down: factor.

    Returns:
        [out, size].
    """
    matrix = np.zeros(((size - len(fir)) // down + 1, size))
    for q, row in enumerate(matrix):
        row[q * down : q * down + len(fir)] = fir[::-1]
    return matrix


def split_into_bands(matrix: np.ndarray, rows: int) -> list[tuple[int, np.ndarray]]:
    """Split a banded matrix into blocks of about so many rows, without the zeros beside them.

    Args:
        matrix: [out, in].
        rows: of a block.

    Returns:
        The first column of every block, and the block [about `rows`, columns].
    """
    parts = []
    for block in np.array_split(matrix, max(round(len(matrix) / rows), 1)):
        columns = np.flatnonzero(block.any(axis=0))
        first, last = (columns[0], columns[-1]) if columns.size else (0, 0)
        parts.append((int(first), block[:, first : last + 1]))
    return parts


def _list_up_taps(fir: np.ndarray, up: int, before: int, o: int) -> dict[int, float]:
    """The input samples that sample o of the high rate sums, and their weights."""
    taps = len(fir)
    return {
        (o + k - before) // up: float(fir[taps - 1 - k]) * up
        for k in range(taps)
        if (o + k - before) % up == 0
    }


def _make_down_kernels(fir: np.ndarray, count: int, down: int) -> np.ndarray:
    """The kernels from the phases to the outputs of a frame, see `Phases.down`."""
    taps, outputs, axes = len(fir), count // down, fir.ndim
    reach = (down * (outputs - 1) + taps - 1) // count + 1
    kernels = np.zeros((outputs,) * axes + (count,) * axes + (reach,) * axes)
    for output in np.ndindex((outputs,) * axes):
        for tap in np.ndindex((taps,) * axes):
            high = [down * s + k for s, k in zip(output, tap, strict=True)]
            frames, phases = zip(*(divmod(o, count) for o in high), strict=True)
            kernels[output + phases + frames] = fir[tuple(taps - 1 - k for k in tap)]
    return kernels
