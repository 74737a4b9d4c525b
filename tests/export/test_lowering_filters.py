"""The forms of the filtered leaky ReLU against the reference's single steps, in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from stylert.export.lowering_filters import (
    Phases,
    make_down_matrix,
    make_up_matrix,
    split_into_bands,
    split_into_phases,
)
from stylert.export.models.filtered_lrelu import filtered_lrelu

EXACT = 1e-12
SIZE = 14  # of the input


def fir(taps: int) -> np.ndarray:
    """An asymmetric filter of sum 1."""
    values = np.random.RandomState(taps).uniform(-0.3, 1, taps)
    return np.asarray(values / values.sum())


def fir_2d(taps: int) -> np.ndarray:
    values = np.random.RandomState(taps).uniform(-0.3, 1, (taps, taps))
    return np.asarray(values / values.sum())


# Factors, taps and paddings; the first four are StyleGAN3's own.
CASES: dict[str, dict[str, Any]] = {
    "T": {"up": 2, "down": 2, "up_taps": 12, "down_taps": 12, "padding": (9, 8)},
    "T up": {"up": 4, "down": 2, "up_taps": 24, "down_taps": 12, "padding": (-6, -9)},
    "T last": {"up": 2, "down": 2, "up_taps": 12, "down_taps": 12, "padding": (-2, -1)},
    "R up": {"up": 4, "down": 2, "up_taps": 24, "down_taps": 12, "padding": (-2, -5)},
    "5 taps": {"up": 2, "down": 2, "up_taps": 5, "down_taps": 5, "padding": (1, 0)},
    "only up": {"up": 2, "down": 1, "up_taps": 12, "down_taps": 1, "padding": (3, 2)},
    "only down": {"up": 1, "down": 2, "up_taps": 1, "down_taps": 12, "padding": (4, 3)},
    "neither": {"up": 1, "down": 1, "up_taps": 1, "down_taps": 1, "padding": (-2, -1)},
    "down more than up": {"up": 2, "down": 4, "up_taps": 6, "down_taps": 9, "padding": (7, 5)},
    "3 and 2": {"up": 3, "down": 2, "up_taps": 7, "down_taps": 6, "padding": (4, 1)},
    "few taps": {"up": 4, "down": 2, "up_taps": 2, "down_taps": 3, "padding": (-1, 2)},
    "all cut off before": {"up": 2, "down": 2, "up_taps": 4, "down_taps": 4, "padding": (-9, 3)},
}

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def inputs() -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(0).randn(2, 3, SIZE, SIZE))


def expected(case: dict[str, Any], down_fir: np.ndarray) -> torch.Tensor:
    return filtered_lrelu(
        inputs(),
        up_filter=torch.from_numpy(fir(case["up_taps"])),
        down_filter=torch.from_numpy(down_fir),
        up=case["up"],
        down=case["down"],
        padding=case["padding"] * 2,
        gain=1,
        clamp=0.5,
    )


def act(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, 0.2).clamp(-0.5, 0.5)


def split(
    case: dict[str, Any], down_fir: np.ndarray, out_size: int, frame: int | None = None
) -> Phases:
    return split_into_phases(
        fir(case["up_taps"]),
        down_fir,
        up=case["up"],
        down=case["down"],
        before=case["padding"][0],
        out_size=out_size,
        frame=frame,
    )


def depthwise(
    x: torch.Tensor, kernel: np.ndarray, stride: tuple[int, int] = (1, 1)
) -> torch.Tensor:
    kernels = torch.from_numpy(np.ascontiguousarray(kernel)).expand(x.shape[1], 1, -1, -1)
    return functional.conv2d(x, kernels, stride=stride, groups=x.shape[1])


def through_phases(x: torch.Tensor, phases: Phases, out_size: int) -> torch.Tensor:
    """What the phases say, as plainly as it can be computed."""
    stop = phases.first + phases.samples
    around = [-phases.first, stop - x.shape[-1]] * 2  # negative ones cut off
    x = functional.pad(x, around)
    count, outputs, stride = len(phases.up), len(phases.down), phases.stride
    high = {}
    for p, q in np.ndindex(count, count):
        rows = depthwise(x, phases.up[p][:, None], (stride, 1))
        high[p, q] = act(depthwise(rows, phases.up[q][None], (1, stride)))
    y = torch.zeros(*x.shape[:2], outputs * phases.frames, outputs * phases.frames).double()
    for r, s in np.ndindex(outputs, outputs):
        for p, q in high:
            if phases.down.ndim == 3:
                kernel = np.outer(phases.down[r, p], phases.down[s, q])
            else:
                kernel = phases.down[r, s, p, q]
            y[:, :, r::outputs, s::outputs] += depthwise(high[p, q], kernel)
    return y[:, :, :out_size, :out_size]


def assert_equal(expected: torch.Tensor, got: torch.Tensor) -> None:
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype == torch.float64
    assert (got - expected).abs().max() < EXACT
    assert expected.abs().max() > 0.05


@every_case
def test_phases(case: dict[str, Any]) -> None:
    wanted = expected(case, fir(case["down_taps"]))
    size = wanted.shape[-1]
    assert_equal(wanted, through_phases(inputs(), split(case, fir(case["down_taps"]), size), size))


@every_case
def test_phases_of_a_filter_that_does_not_separate(case: dict[str, Any]) -> None:
    down_fir = fir_2d(case["down_taps"])
    wanted = expected(case, down_fir)
    size = wanted.shape[-1]
    assert_equal(wanted, through_phases(inputs(), split(case, down_fir, size), size))


@every_case
def test_longer_frames_are_the_same_function(case: dict[str, Any]) -> None:
    frame = 2 * math.lcm(case["up"], case["down"])
    for down_fir in (fir(case["down_taps"]), fir_2d(case["down_taps"])):
        wanted = expected(case, down_fir)
        size = wanted.shape[-1]
        phases = split(case, down_fir, size, frame)
        assert len(phases.up) == frame
        assert_equal(wanted, through_phases(inputs(), phases, size))


@every_case
def test_matrices(case: dict[str, Any]) -> None:
    matrix = make_up_matrix(fir(case["up_taps"]), SIZE, up=case["up"], padding=case["padding"])
    up = torch.from_numpy(matrix)
    down = torch.from_numpy(make_down_matrix(fir(case["down_taps"]), len(up), down=case["down"]))
    high = act(up @ inputs() @ up.T)
    assert_equal(expected(case, fir(case["down_taps"])), down @ high @ down.T)


def test_phases_read_no_more_than_they_need() -> None:
    """The up-filters of 4 leave out the border of what a padded convolution makes."""
    case = CASES["T up"]
    out_size = expected(case, fir(12)).shape[-1]
    phases = split(case, fir(12), out_size)
    assert (phases.first, phases.stride) == (2, 1)
    assert phases.first + phases.samples <= SIZE
    assert phases.up.shape == (4, 7)  # 24 taps in 4 phases, the last of which begins 1 later
    assert [np.count_nonzero(taps) for taps in phases.up] == [6, 6, 6, 6]
    assert phases.down.shape == (2, 4, 4)


def test_phases_are_the_least_work() -> None:
    phases = split(CASES["T"], fir(12), 8)
    assert phases.up.shape == (2, 6)
    assert phases.down.shape == (1, 2, 6)
    assert phases.up.all()
    assert phases.down.all()


@pytest.mark.parametrize("rows", [1, 4, 5, 9, 100])
def test_bands_are_the_matrix(rows: int) -> None:
    matrix = make_up_matrix(fir(12), 20, up=2, padding=(9, 8))
    parts = split_into_bands(matrix, rows)
    assert len(parts) == max(round(len(matrix) / rows), 1)
    x = np.random.RandomState(0).randn(20, 3)
    got = np.concatenate([block @ x[first : first + block.shape[1]] for first, block in parts])
    assert np.abs(got - matrix @ x).max() < EXACT
    least = (rows - 1) // 2 + 6 + 1
    assert all(block.shape[1] <= max(least, 7) + 1 for _, block in parts)
    assert all(block[:, 0].any() and block[:, -1].any() for _, block in parts)


def test_bands_of_zeros() -> None:
    matrix = np.zeros((6, 5))
    matrix[5, 3] = 1
    (first, zeros), (second, block) = split_into_bands(matrix, 3)
    assert (first, zeros.shape, second, block.shape) == (0, (3, 1), 3, (3, 1))
    assert not zeros.any()
    assert block[2, 0] == 1
