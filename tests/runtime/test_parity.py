"""The comparison that every check of parity rests on."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from stylert.runtime.parity import TOLERANCES, Difference, Tolerance, compare

ROW = np.linspace(-1, 1, 5, dtype=np.float32)


def test_equal_arrays() -> None:
    found = compare(np.stack([ROW, ROW]), np.stack([ROW, ROW]))
    assert found == Difference(0.0, math.inf, True)
    assert found.within(Tolerance(max_abs=0, psnr_db=1000))


def test_the_numbers() -> None:
    candidate = ROW.copy()
    candidate[0] += 0.25
    found = compare(ROW[None], candidate[None])
    assert found.max_abs == pytest.approx(0.25)
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


def test_a_flat_reference_allows_no_error() -> None:
    flat = np.zeros((1, 4), np.float32)
    assert compare(flat, flat).psnr_db == math.inf
    assert not compare(flat, flat + 1e-6).within(TOLERANCES["fp16"])


def test_both_limits_hold() -> None:
    tolerance = Tolerance(max_abs=1e-4, psnr_db=70)
    assert Difference(1e-4, 70, True).within(tolerance)
    assert not Difference(1.1e-4, 90, True).within(tolerance)
    assert not Difference(1e-5, 69, True).within(tolerance)
    assert not Difference(0, math.inf, False).within(tolerance)


def test_the_tolerances_are_the_designs() -> None:
    assert TOLERANCES["fp32"] == Tolerance(max_abs=1e-4, psnr_db=70)
    assert TOLERANCES["fp16"].psnr_db == 60
    assert TOLERANCES["reference"].max_abs == 5e-5


def test_nothing_is_compared_with_nothing_or_with_another_shape() -> None:
    with pytest.raises(ValueError, match=r"shapes differ: \(1, 5\) and \(5,\)"):
        compare(ROW[None], ROW)
    with pytest.raises(ValueError, match="nothing to compare"):
        compare(ROW[None][:0], ROW[None][:0])


def test_what_json_holds() -> None:
    assert Difference(0.5, 60.0, True).to_json() == {
        "max_abs": 0.5,
        "psnr_db": 60.0,
        "finite": True,
    }
    assert Difference(0.0, math.inf, True).to_json()["psnr_db"] is None
