"""Latents and truncation: the checks and the arithmetic, without any generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stylert.runtime.control.interpolation import check_times
from stylert.runtime.latents import (
    MAX_SEED,
    check_floats,
    check_seeds,
    make_psi,
    make_z,
)


@pytest.mark.parametrize(
    "seeds",
    [[3, MAX_SEED], (3, MAX_SEED), np.array([3, MAX_SEED]), np.array([3, MAX_SEED], np.uint32)],
)
def test_seeds(seeds: Any) -> None:
    assert check_seeds(seeds) == [3, MAX_SEED]
    assert all(type(seed) is int for seed in check_seeds(seeds))


class Tensor:
    """An array of another library: it tells its numbers, and NumPy may read it or not."""

    def __init__(self, array: Any, error: Exception | None = None) -> None:
        self.array, self.error = np.asarray(array), error

    def tolist(self) -> Any:
        return self.array.tolist()

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        if self.error is not None:
            raise self.error
        return self.array


@pytest.mark.parametrize("array", [3, [3], [3, 4]])
def test_seeds_of_another_library(array: Any) -> None:
    assert check_seeds(Tensor(array)) == np.ravel(array).tolist()  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [TypeError, RuntimeError])
def test_an_array_that_numpy_cannot_read(refuses: Any, error: type[Exception]) -> None:
    tensor = Tensor([1.0], error("It requires grad.\nDetach it."))
    read = "got a Tensor (It requires grad. Detach it.), expected "
    with refuses(f"z: {read}an array of floats."):
        check_floats("z", tensor)
    with refuses(f"truncation_psi: {read}a number, numbers by layers"):
        make_psi(tensor, None, batch=1, num_ws=4)
    with refuses(f"times: {read}a number or several."):
        check_times(tensor, 2, loop=False)


@pytest.mark.parametrize("seed", [3, np.int8(3), np.uint64(3), np.array(3), [3], range(3, 4)])
def test_one_seed(seed: Any) -> None:
    assert check_seeds(seed) == [3]


def test_a_class_is_checked_as_a_seed_is(refuses: Any) -> None:
    assert check_seeds([0, 4], name="class_idx", largest=4) == [0, 4]
    with refuses("class_idx: got 5, expected 0 to 4"):
        check_seeds([0, 5], name="class_idx", largest=4)


def test_latents_do_not_touch_the_global_state_of_numpy() -> None:
    np.random.seed(0)
    expected = np.random.RandomState(0).randn()
    z = make_z([7, 7, 8], 16)
    assert np.random.randn() == expected
    assert z.dtype == np.float32
    assert np.array_equal(z[0], z[1])
    assert np.array_equal(z[2], np.random.RandomState(8).randn(16).astype(np.float32))
    assert np.array_equal(z[2, :4], make_z([8], 4)[0])


@pytest.mark.parametrize(
    ("psi", "cutoff", "expected"),
    [
        (0.5, None, [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]),
        (0.5, 1, [[0.5, 1, 1], [0.5, 1, 1]]),
        (2, np.int64(2), [[2, 2, 1], [2, 2, 1]]),
        ([0.25, -1], None, [[0.25, 0.25, 0.25], [-1, -1, -1]]),
        ([[0.25], [-1]], 2, [[0.25, 0.25, 1], [-1, -1, 1]]),
        ([[1, 2, 3], [4, 5, 6]], None, [[1, 2, 3], [4, 5, 6]]),
        (np.float16(0.5), 0, [[1, 1, 1], [1, 1, 1]]),
    ],
)
def test_psi(psi: Any, cutoff: Any, expected: Any) -> None:
    got = make_psi(psi, cutoff, batch=2, num_ws=3)
    assert got.dtype == np.float32
    assert np.array_equal(got, np.array(expected, np.float32))


def test_psi_does_not_change_what_it_is_given() -> None:
    given = np.full((2, 3), 0.5, np.float32)
    make_psi(given, 0, batch=2, num_ws=3)
    assert (given == 0.5).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_become_float32(dtype: Any) -> None:
    array = check_floats("x", np.array([[0.5, 1.0]], dtype).T)
    assert array.dtype == np.float32
    assert array.flags.c_contiguous
    assert array.tolist() == [[0.5], [1.0]]


def test_a_message_does_not_hold_a_whole_array(refuses: Any) -> None:
    for wrong in (np.full((500, 500), "x"), [["x"] * 500] * 500, "x" * 10_000):
        with refuses("truncation_psi: got "):
            make_psi(wrong, None, batch=1, num_ws=3)
        with refuses("seeds: got "):
            check_seeds(wrong)


def test_what_is_masked_is_refused(refuses: Any) -> None:
    """NumPy would take the numbers under the mask, which are no numbers of anybody."""
    masked = np.ma.masked_array([1.0, 2.0], mask=[False, True])
    for value in (masked, [masked, masked]):
        with refuses("ws: got masked values, expected none. Fill them: array.filled(0)"):
            check_floats("ws", value)
    nothing_masked = np.ma.masked_array([1.0, 2.0])
    assert np.array_equal(check_floats("ws", nothing_masked), [1, 2])
    with refuses("seeds: got None, expected integers"):
        check_seeds(np.ma.masked_array([1, 2], mask=[False, True]))


def test_a_psi_that_is_none_tells_of_layers(refuses: Any) -> None:
    with refuses("truncation_psi: got 'x', expected a number, numbers by layers such as {'coarse"):
        make_psi("x", None, batch=2, num_ws=4)
