"""The walk: collected, walked, played."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stylert.runtime.generator import Generator

Started = Callable[..., Any]
Serve = Callable[..., str]


def test_a_walk_is_collected_and_walked(started: Started, generator: Generator) -> None:
    shown = started("seed=4&psi=1")
    assert shown.page.is_disabled("#t-slider")
    for key in "ajja":  # add seed 4, go on to 6, add it
        shown.page.keyboard.press(key)
    shown.settled()
    assert shown.page.get_by_role("button", name="Keyframe").count() == 2
    shown.slide("t", 0.25)
    between = generator.synthesize(generator.styles_between([4, 6], 0.25))[0]
    np.testing.assert_array_equal(shown.settled(), between)
    shown.page.click("#keyframes li:nth-child(2) button")
    np.testing.assert_array_equal(shown.settled(), generator.generate(6)[0])
    assert shown.number("t") == 1
    for canvas, seed in zip(shown.page.locator("#keyframes canvas").all(), (4, 6), strict=True):
        assert canvas.get_attribute("data-seed") == str(seed)
        middle = canvas.evaluate("one => [...one.getContext('2d').getImageData(49, 49, 1, 1).data]")
        assert middle[:3] == generator.generate(seed)[0][16, 16].tolist()
    shown.page.keyboard.press("k")  # another seed ends the walk
    np.testing.assert_array_equal(shown.settled(), generator.generate(5)[0])
    assert shown.page.is_disabled("#keyframe-remove")  # 5 is none of it
    shown.page.click("#keyframes li:nth-child(1) button")
    shown.page.click("#keyframe-remove")
    assert "Keyframe 1: seed 6" in shown.page.locator("#keyframes").aria_snapshot()
    shown.page.click("#keyframes-clear")
    assert shown.page.is_hidden("#keyframes")


def test_a_walk_plays_until_it_is_paused(started: Started) -> None:
    shown = started("seed=1")
    before = shown.settled()
    shown.page.keyboard.press("p")  # finds keyframes, as there are none
    assert shown.page.locator("#keyframes button").count() == 4
    assert shown.page.is_checked("#loop")
    for place in (0.01, 0.05):
        shown.page.wait_for_function(f"() => document.getElementById('t').value > {place}")
    assert shown.text("play") == "Pause"
    shown.page.keyboard.press("p")
    assert shown.text("play") == "Play"
    now = shown.settled()
    assert (now != before).any()
    place = shown.number("t")
    shown.page.wait_for_timeout(100)
    assert shown.number("t") == place
    shown.page.uncheck("#loop")
    shown.slide("t", 0.99)
    shown.page.click("#play")
    shown.page.wait_for_selector("#play:has-text('Play')")  # it ends by itself
    shown.settled()
    assert shown.number("t") == 1
