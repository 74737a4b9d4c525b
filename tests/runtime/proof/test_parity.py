"""The comparison that every check of parity rests on."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from stylert.runtime.proof.parity import (
    CHAOTIC_RMS,
    MAX_FACTOR,
    RMS_FACTOR,
    RMS_FLOOR,
    TOLERANCES,
    WEIGHT_FLOORS,
    Difference,
    RoundingError,
    Tolerance,
    compare,
    compare_each,
    judge,
    measure_excess,
)

ROW = np.linspace(-1, 1, 5, dtype=np.float32)


def test_equal_arrays() -> None:
    found = compare(np.stack([ROW, ROW]), np.stack([ROW, ROW]))
    assert found == Difference(0.0, 0.0, math.inf, True)
    assert found.within(Tolerance(rms=1e-30, max_abs=1e-30, psnr_db=1000))


def test_the_numbers() -> None:
    candidate = ROW.copy()
    candidate[0] += 0.25
    found = compare(ROW[None], candidate[None])
    assert found.max_abs == pytest.approx(0.25)
    assert found.rms == pytest.approx(0.25 / math.sqrt(5))
    assert found.psnr_db == pytest.approx(10 * math.log10(2**2 / (0.25**2 / 5)))


def test_bytes_do_not_wrap_around() -> None:
    found = compare(np.array([[0, 255]], np.uint8), np.array([[255, 0]], np.uint8))
    assert found.max_abs == 255
    assert found.psnr_db == pytest.approx(0)


def test_one_bad_image_is_not_averaged_away() -> None:
    reference = np.repeat(ROW[None], 1000, axis=0)
    candidate = reference.copy()
    candidate[500] = -ROW
    assert compare(reference, candidate) == compare(ROW[None], -ROW[None])


def test_each_image_counts_with_its_own_range() -> None:
    reference = np.stack([ROW, ROW * 100])
    assert compare(reference, reference + 0.01).psnr_db == pytest.approx(
        compare(ROW[None], ROW[None] + np.float32(0.01)).psnr_db, abs=0.1
    )


def test_differences_are_on_the_scale_of_their_picture() -> None:
    """Of half its range, but of 1 where that is less."""
    wide, narrow = ROW[None] * 50, ROW[None] / 50
    assert compare(wide, wide + np.float32(0.5)).max_abs == pytest.approx(0.01)
    assert compare(wide, wide + np.float32(0.5)).rms == pytest.approx(0.01)
    assert compare(narrow, narrow + np.float32(0.5)).max_abs == pytest.approx(0.5)
    shifted = ROW[None] * 50 + 1000  # the range counts, not where it lies
    assert compare(shifted, shifted + np.float32(0.5)).rms == pytest.approx(0.01, rel=1e-3)


def test_every_picture_by_itself() -> None:
    reference = np.stack([ROW, ROW])
    first, second = compare_each(reference, reference + np.float32([[0], [0.5]]))
    assert (first.rms, second.rms) == (0, pytest.approx(0.5))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_never_passes(wrong: float) -> None:
    damaged = ROW.copy()
    damaged[2] = wrong
    for reference, candidate in ((ROW, damaged), (damaged, ROW), (damaged, damaged)):
        found = compare(reference[None], candidate[None])
        assert not found.finite
        for tolerance in TOLERANCES.values():
            assert not found.within(tolerance)
        assert json.loads(json.dumps(found.to_json(), allow_nan=False))["finite"] is False


def test_a_flat_picture_counts_as_if_it_had_a_little_range() -> None:
    flat = np.zeros((1, 4), np.float32)
    assert compare(flat, flat).psnr_db == math.inf
    assert compare(flat, flat + np.float32(5e-5)).psnr_db == pytest.approx(60)
    assert not compare(flat, flat + np.float32(6e-5)).within(TOLERANCES["fp16"])


def test_every_limit_holds() -> None:
    tolerance = Tolerance(rms=1e-5, max_abs=1e-4, psnr_db=70)
    assert Difference(1e-5, 1e-4, 70, True).within(tolerance)
    assert not Difference(1.1e-5, 1e-4, 90, True).within(tolerance)
    assert not Difference(1e-5, 1.1e-4, 90, True).within(tolerance)
    assert not Difference(1e-6, 1e-5, 69, True).within(tolerance)
    assert not Difference(0, 0, math.inf, False).within(tolerance)
    assert Difference(3e-5, 2e-4, 90, True).excess(tolerance) == pytest.approx(3)
    assert Difference(1e-6, 1e-6, 50, True).excess(tolerance) == pytest.approx(10)
    assert Difference(0, 0, math.inf, False).excess(tolerance) == math.inf


def test_the_tolerances_are_the_designs() -> None:
    assert {
        "fp32": Tolerance(rms=4e-6, max_abs=1e-4),
        "fp16": Tolerance(psnr_db=60),
    } == TOLERANCES
    assert WEIGHT_FLOORS == {"int16": 80, "int8": 40}
    assert (RMS_FACTOR, MAX_FACTOR, RMS_FLOOR, CHAOTIC_RMS) == (4, 8, 1e-7, 1e-3)


@pytest.mark.parametrize(
    ("rms", "max_abs", "error", "gate"),
    [
        (4e-6, 1e-4, None, 1),
        (4.1e-6, 1e-4, None, 0),  # nobody knows how far float32 is off
        (1e-6, 1.1e-4, None, 0),
        (8e-6, 9e-5, (2e-6, 2e-5), 2),
        (8.1e-6, 9e-5, (2e-6, 2e-5), 0),
        (1e-6, 8e-4, (2e-6, 1e-4), 2),  # the tail of a network that amplifies rounding
        (1e-6, 8.1e-4, (2e-6, 1e-4), 0),
        (1e-6, 1.0e-4, (2e-6, 1e-6), 1),  # the second gate is never the narrower one
        (5e-6, 1.0e-4, (1e-8, 1e-8), 0),
    ],
)
def test_the_two_gates(
    rms: float, max_abs: float, error: tuple[float, float] | None, gate: int
) -> None:
    known = None if error is None else RoundingError(*error, pictures=8)
    found = Difference(rms, max_abs, 100, True)
    assert judge(found, "fp32", known) == gate
    assert (measure_excess(found, "fp32", known) <= 1) == (gate > 0)


def test_half_precision_has_no_second_gate() -> None:
    error = RoundingError(1e-3, 1e-2, pictures=8)
    assert judge(Difference(1e-3, 1e-2, 60, True), "fp16", error) == 1
    assert judge(Difference(1e-3, 1e-2, 59.9, True), "fp16", error) == 0


def test_a_network_is_chaotic_from_a_thousandth_on() -> None:
    assert not RoundingError(1e-3, 1e-2, 8).chaotic
    assert RoundingError(1.1e-3, 1e-2, 8).chaotic
    assert RoundingError(math.nan, math.nan, 8).chaotic


def test_what_json_holds_of_rounding() -> None:
    error = RoundingError(1e-6, 1e-5, 8)
    assert RoundingError.from_json(json.loads(json.dumps(error.to_json()))) == error


def test_nothing_is_compared_with_nothing_or_with_another_shape() -> None:
    with pytest.raises(ValueError, match=r"shapes differ: \(1, 5\) and \(5,\)"):
        compare(ROW[None], ROW)
    with pytest.raises(ValueError, match="nothing to compare"):
        compare(ROW[None][:0], ROW[None][:0])


def test_what_json_holds() -> None:
    assert Difference(0.25, 0.5, 60.0, True).to_json() == {
        "rms": 0.25,
        "max_abs": 0.5,
        "psnr_db": 60.0,
        "finite": True,
    }
    assert Difference(0.0, 0.0, math.inf, True).to_json()["psnr_db"] is None
