"""Ways between keyframes: what they pass through, how smooth they are, where they could break."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stylert.runtime.control.interpolation import (
    CURVES,
    MAX_FRAMES,
    cubic,
    linear,
    make_frame_times,
    slerp,
    slerp_path,
)

Way = Callable[..., np.ndarray]


def normal(*shape: int) -> np.ndarray:
    return np.random.RandomState(7).randn(*shape).astype(np.float32)


# --- Times.


def test_times() -> None:
    assert make_frame_times(3, 2, loop=False).tolist() == [0, 0.5, 1, 1.5, 2]
    assert make_frame_times(3, 2, loop=True).tolist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert make_frame_times(2, 1, loop=False).tolist() == [0, 1]


def test_times_meet_the_keyframes() -> None:
    for frames in (3, 7, 60, 1000):
        times = make_frame_times(50, frames, loop=True)
        assert times[::frames].tolist() == list(range(50))


@pytest.mark.parametrize("frames", [0, -1, 1.5, "60", None, True, 10**400, MAX_FRAMES])
def test_frames_that_are_refused(refuses: Any, frames: Any) -> None:
    with refuses("frames: got ", "expected an integer of 1 to "):
        make_frame_times(2, frames, loop=False)


@pytest.mark.parametrize("keyframes", [0, 1])
def test_too_few_keyframes(refuses: Any, keyframes: int) -> None:
    with refuses("keyframes: got ", "expected at least 2"):
        make_frame_times(keyframes, 60, loop=True)


# --- All ways.


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("way", CURVES.values(), ids=CURVES)
@pytest.mark.parametrize("K", [2, 3, 6])
def test_every_way_passes_through_the_keyframes(way: Way, K: int, loop: bool) -> None:
    keyframes = normal(K, 16)
    got = way(keyframes, np.arange(K), loop=loop)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, keyframes, atol=1e-6)
    if loop:  # and comes back, however often
        np.testing.assert_allclose(
            way(keyframes, np.array([K, -K, 7 * K + 1]), loop=True)[2], keyframes[1], atol=1e-6
        )
        np.testing.assert_allclose(
            way(keyframes, np.array([K]), loop=True), keyframes[:1], atol=1e-6
        )


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("way", CURVES.values(), ids=CURVES)
def test_no_way_jumps(way: Way, loop: bool) -> None:
    keyframes = normal(4, 16)
    times = np.append(make_frame_times(4, 500, loop=loop), 4.0 if loop else 3.0)
    steps = np.linalg.norm(np.diff(way(keyframes, times, loop=loop), axis=0), axis=1)
    longest = np.linalg.norm(np.diff(keyframes, axis=0), axis=1).max()
    assert steps.max() < 4 * longest / 500


@pytest.mark.parametrize("way", CURVES.values(), ids=CURVES)
def test_frames_do_not_depend_on_those_beside_them(way: Way) -> None:
    keyframes, times = normal(5, 16), make_frame_times(5, 9, loop=True)
    whole = way(keyframes, times, loop=True)
    parts = [way(keyframes, times[i : i + 4], loop=True) for i in range(0, len(times), 4)]
    assert np.array_equal(whole, np.concatenate(parts))


@pytest.mark.parametrize("way", CURVES.values(), ids=CURVES)
def test_keyframes_stay_as_they_are(way: Way) -> None:
    keyframes = normal(3, 8)
    before = keyframes.copy()
    way(keyframes, np.linspace(0, 2, 9))
    assert np.array_equal(keyframes, before)


# --- Lines and curves in w.


def test_linear_by_hand() -> None:
    keyframes = np.array([[0, 0], [2, 4], [4, 0]], np.float32)
    times = np.array([0, 0.25, 1.5, 2])
    assert linear(keyframes, times).tolist() == [[0, 0], [0.5, 1], [3, 2], [4, 0]]
    assert linear(keyframes, np.array([2.5]), loop=True).tolist() == [[2, 0]]


def test_cubic_by_hand() -> None:
    keyframes = np.array([[0], [1], [0], [0]], np.float32)
    # Half-way between 1 and 0: (-p0 + 9 p1 + 9 p2 - p3) / 16; at the end p(-1) = 2 p0 - p1 = -1.
    expected = [[(1 + 9 * 1) / 16], [9 / 16], [-1 / 16]]
    assert cubic(keyframes, np.array([0.5, 1.5, 2.5])).tolist() == expected
    on_a_loop = [[(9 * 1) / 16], [9 / 16], [-1 / 16], [-1 / 16]]
    assert cubic(keyframes, np.array([0.5, 1.5, 2.5, 3.5]), loop=True).tolist() == on_a_loop


def test_cubic_keeps_a_straight_line_straight() -> None:
    keyframes = np.arange(5)[:, None] * np.array([1.0, -2.0]) + 3
    times = np.linspace(0, 4, 33)
    np.testing.assert_allclose(cubic(keyframes, times), linear(keyframes, times), rtol=1e-6)


@pytest.mark.parametrize("loop", [False, True])
def test_the_speed_of_cubic_never_jumps(loop: bool) -> None:
    keyframes, h = normal(5, 12).astype(np.float64), 1e-3
    at = np.arange(5.0) if loop else np.arange(1.0, 4.0)
    for time in at:  # on the loop, keyframe 0 too
        path = cubic(keyframes, time + h * np.array([-2, -1, 0, 1, 2]), loop=loop)
        before, after = (path[2] - path[0]) / (2 * h), (path[4] - path[2]) / (2 * h)
        around = (keyframes[int(time + 1) % 5] - keyframes[int(time - 1)]) / 2
        np.testing.assert_allclose(before, around, atol=0.03)
        np.testing.assert_allclose(after, around, atol=0.03)
        jump = (path[3] - path[2]) / h - (path[2] - path[1]) / h
        assert np.abs(jump).max() < 0.03


def test_the_test_of_speed_sees_a_corner() -> None:
    keyframes, h = normal(5, 12).astype(np.float64), 1e-3
    path = linear(keyframes, 2 + h * np.array([-1, 0, 1]))
    assert np.abs((path[2] - path[1]) / h - (path[1] - path[0]) / h).max() > 1


@pytest.mark.parametrize("way", [linear, cubic])
def test_styles_keep_their_shape(way: Way) -> None:
    keyframes = normal(3, 8, 4)
    got = way(keyframes, np.linspace(0, 2, 7))
    assert got.shape == (7, 8, 4)
    flat = way(keyframes.reshape(3, -1), np.linspace(0, 2, 7))
    assert np.array_equal(got.reshape(7, -1), flat)


# --- Slerp.


def test_slerp_by_hand() -> None:
    a, b = np.array([1.0, 0, 0]), np.array([0.0, 3, 0])
    got = slerp(a, b, np.array(0.5))
    np.testing.assert_allclose(got, 2 * np.array([np.sqrt(0.5), np.sqrt(0.5), 0]), rtol=1e-6)
    third = slerp(a, b, np.array(1 / 3))
    np.testing.assert_allclose(third, 5 / 3 * np.array([np.sqrt(0.75), 0.5, 0]), rtol=1e-6)


def test_slerp_turns_evenly_and_the_length_goes_straight() -> None:
    a, b = normal(2, 512)
    share = np.linspace(0, 1, 11)
    path = slerp(np.broadcast_to(a, (11, 512)), np.broadcast_to(b, (11, 512)), share)
    lengths = np.linalg.norm(path, axis=1)
    ends = np.linalg.norm([a, b], axis=1)
    np.testing.assert_allclose(lengths, (1 - share) * ends[0] + share * ends[1], rtol=1e-6)
    units = path / lengths[:, None]
    cosines = (units[1:] * units[:-1]).sum(axis=1)
    assert np.ptp(np.arccos(cosines)) < 1e-3
    np.testing.assert_allclose(path[[0, -1]], [a, b], atol=1e-5)


def test_slerp_keeps_latents_normal_where_a_line_does_not() -> None:
    keyframes = normal(2, 512)
    middle = np.array([0.5])
    assert np.abs(np.linalg.norm(slerp_path(keyframes, middle)) / np.sqrt(512) - 1) < 0.1
    assert np.linalg.norm(linear(keyframes, middle)) / np.sqrt(512) < 0.8


@pytest.mark.parametrize("size", [0, 1e-12, 1e-9, 1e-8, 1e-7, 1e-4])
def test_slerp_between_nearly_equal_latents(size: float) -> None:
    a = normal(64).astype(np.float64)
    b = a + size * np.roll(a, 1)
    for share in np.linspace(0, 1, 5):
        got = slerp(a, b, np.array(share))
        np.testing.assert_allclose(got, (1 - share) * a + share * b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [0, 1e-12, 1e-9, 1e-8, 1e-7, 1e-4])
@pytest.mark.parametrize("length", [1.0, 0.25])
def test_slerp_between_nearly_opposite_latents(size: float, length: float) -> None:
    a = normal(64).astype(np.float64)
    b = -length * (a + size * np.roll(a, 1))
    share = np.linspace(0, 1, 9)
    path = slerp(np.broadcast_to(a, (9, 64)), np.broadcast_to(b, (9, 64)), share)
    lengths = np.linalg.norm(path, axis=1)
    expected = np.linalg.norm(a) * ((1 - share) + share * length)
    np.testing.assert_allclose(lengths, expected, rtol=1e-3)  # never near zero
    units = path / lengths[:, None]
    angles = np.arccos(np.clip((units[1:] * units[:-1]).sum(axis=1), -1, 1))
    np.testing.assert_allclose(angles, np.pi / 8, atol=1e-3)
    np.testing.assert_allclose(path[-1], b, atol=1e-5)


def test_slerp_of_opposite_axes() -> None:
    for axis in np.eye(3):
        middle = slerp(axis, -axis, np.array(0.5))
        assert np.isclose(np.linalg.norm(middle), 1)
        assert abs(middle @ axis) < 1e-6
