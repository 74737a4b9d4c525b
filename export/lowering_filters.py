"""The filtered leaky ReLU of StyleGAN3 as plain convolutions or matrices. NumPy only, in float64.

It upsamples, filters, applies the nonlinearity, filters and downsamples (StyleGAN3, figure 4b).
Along one axis, with f the stored filters and x zero outside of its samples:

    high[o]  = sum over k of up_fir[k] * up * x[(o - k + t - 1 - before) / up]   where that is whole
    out[q]   = sum over k of down_fir[k] * act(high)[down * q + t - 1 - k]

As matrices, that is D @ act(U @ x) along each axis. As convolutions, the samples of `high` are
split into phases which all live at a low rate: a frame is P = lcm(up, down) samples of `high`, one
of each phase. Nothing is computed that is not needed, and no phase is ever interleaved with others
before the nonlinearity: it acts on each alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Phases", "down_matrix", "padded_to", "split_into_phases", "up_matrix"]


@dataclass(frozen=True, eq=False)
class Phases:
    """A filtered activation along one axis, as correlations at the rate of its frames.

    Phase p of frame m reads the input samples `first + stride * m` and on, with `up[p]`. Output
    s of frame m reads the frames m and on of all phases, with `down[s]`.
    """

    stride: int  # input samples of a frame
    first: int  # input sample that frame 0 begins to read at; negative = zeros before the input
    frames: int  # frames of output
    up: np.ndarray  # [P, t]
    down: np.ndarray  # [S, P, t], or of a 2-D filter [S, S, P, P, t, t]: rows, columns

    @property
    def outputs(self) -> int:
        """Output samples of a frame."""
        return len(self.down)

    @property
    def samples(self) -> int:
        """Input samples that are read."""
        phase_frames = self.frames + self.down.shape[-1] - 1
        return self.stride * (phase_frames - 1) + self.up.shape[1]


def split_into_phases(
    up_fir: np.ndarray,
    down_fir: np.ndarray,
    *,
    up: int,
    down: int,
    before: int,
    out_size: int,
) -> Phases:
    """Split a filtered activation into the phases of its high rate.

    Args:
        up_fir: [t], sum 1.
        down_fir: [t] or [t, t], sum 1.
        up: factor of the upsampling.
        down: factor of the downsampling.
        before: zeros in front of the high-rate signal, negative = samples cut off.
        out_size: samples of the output.
    """
    count = math.lcm(up, down)
    outputs = count // down
    up_taps = [_up_taps(up_fir, up, before, phase) for phase in range(count)]
    offsets = [offset for taps in up_taps for offset in taps]
    first, last = min(offsets), max(offsets)
    kernels = np.zeros((count, last - first + 1))
    for phase, taps in enumerate(up_taps):
        for offset, value in taps.items():
            kernels[phase, offset - first] = value
    return Phases(
        stride=count // up,
        first=first,
        frames=-(-out_size // outputs),
        up=kernels,
        down=_down_kernels(down_fir, count, down),
    )


def up_matrix(fir: np.ndarray, size: int, *, up: int, padding: tuple[int, int]) -> np.ndarray:
    """Upsampling, padding and the filter, along one axis.

    Args:
        fir: [t], sum 1.
        size: samples of the input.
        up: factor.
        padding: zeros before and after the upsampled signal, negative = samples cut off.

    Returns:
        [high, size].
    """
    high = size * up + sum(padding) - len(fir) + 1
    matrix = np.zeros((high, size))
    for o in range(high):
        for offset, value in _up_taps(fir, up, padding[0], o).items():
            if 0 <= offset < size:
                matrix[o, offset] = value
    return matrix


def down_matrix(fir: np.ndarray, size: int, *, down: int) -> np.ndarray:
    """The filter and the downsampling, along one axis.

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


def padded_to(array: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    """The array with zeros behind its first axes, up to the sizes."""
    sizes = (*sizes, *array.shape[len(sizes) :])
    return np.pad(array, [(0, size - old) for size, old in zip(sizes, array.shape, strict=True)])


def _up_taps(fir: np.ndarray, up: int, before: int, o: int) -> dict[int, float]:
    """The input samples, and their weights, that sample o of the high rate sums."""
    ahead = o - before
    taps = len(fir)
    return {
        (ahead + k) // up: float(fir[taps - 1 - k]) * up
        for k in range(taps)
        if (ahead + k) % up == 0
    }


def _down_kernels(fir: np.ndarray, count: int, down: int) -> np.ndarray:
    """The kernels [S, P, t], or [S, S, P, P, t, t], from the phases to the outputs of a frame."""
    taps, outputs = len(fir), count // down
    reach = (down * (outputs - 1) + taps - 1) // count + 1
    flipped = np.flip(np.asarray(fir, np.float64))
    kernels = np.zeros((outputs,) * fir.ndim + (count,) * fir.ndim + (reach,) * fir.ndim)
    for output in np.ndindex((outputs,) * fir.ndim):
        for tap in np.ndindex((taps,) * fir.ndim):
            at = [down * s + k for s, k in zip(output, tap, strict=True)]
            phase, frame = (tuple(f(a, count) for a in at) for f in (np.mod, np.floor_divide))
            kernels[output + phase + frame] = flipped[tap]
    return kernels
