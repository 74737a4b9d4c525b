"""Values that change from frame to frame."""

from __future__ import annotations

from stylert.apps.video.ramps import Ramp


def test_a_ramp() -> None:
    assert Ramp(0, 1).over(5, loop=False).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert Ramp(0, 1).over(4, loop=True).tolist() == [0, 0.5, 1, 0.5]  # there and back
    assert Ramp(2, 1).over(1, loop=False).tolist() == [2]
    assert Ramp((0, 1), (1, 0)).over(3, loop=False).tolist() == [[0, 1], [0.5, 0.5], [1, 0]]


def test_whole_turns_go_straight_on() -> None:
    assert Ramp(0, 360, turn=360).over(4, loop=True).tolist() == [0, 90, 180, 270]
    assert Ramp(90, -630, turn=360).over(4, loop=True).tolist() == [90, -90, -270, -450]
    assert Ramp(0, 90, turn=360).over(4, loop=True).tolist() == [0, 45, 90, 45]
