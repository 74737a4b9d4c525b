"""The walk: collected, walked, played."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

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


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Any, str], Path]:
    """Saves a walk as a video of some kind; gives the file."""

    def save(shown: Any, kind: str) -> Path:
        shown.page.check(f"#video-kinds label:has-text('{kind.upper()}') input", force=True)
        with shown.page.expect_download() as download:
            shown.page.keyboard.press("v")
        assert download.value.suggested_filename == f"walk-4-6.{kind}"
        download.value.save_as(tmp_path / "walk")
        shown.page.wait_for_selector("#note:has-text('30 frames')")
        return tmp_path / "walk"

    return save


def test_a_walk_is_saved_as_a_video(
    started: Started, generator: Generator, saved: Callable[[Any, str], Path]
) -> None:
    import av

    shown = started("seed=4&psi=1")
    assert shown.page.is_disabled("#walk-save")
    shown.go_to("#psi=1&keyframes=4,6&seconds=0.5&loop=1&sefa_all_0=2&t=0.5")
    assert "30 frames, 1 s" in shown.text("video-hint")
    with av.open(str(saved(shown, "mp4"))) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    ws = generator.styles_between([4, 6], np.arange(30) / 15, loop=True)
    drawn = generator.synthesize(generator.edit(ws, "sefa_all_0", 2))
    assert np.abs(np.stack(frames).astype(int) - drawn).mean() < 12  # what is lost


def test_a_walk_is_saved_as_an_animation(
    started: Started, saved: Callable[[Any, str], Path]
) -> None:
    shown = started("keyframes=4,6&seconds=0.5&loop=1")
    with Image.open(saved(shown, "webp")) as picture:
        frames = [frame.copy() for frame in ImageSequence.Iterator(picture)]
    assert sum(frame.info["duration"] for frame in frames) == 1000  # ms; equal ones are merged


def test_a_video_that_cannot_be_says_why(started: Started) -> None:
    shown = started("keyframes=1,2,3,4,5,6,7,8&seconds=10")
    assert "Too long" in shown.text("video-hint")
    assert shown.page.is_disabled("#walk-save")
    shown.go_to("#keyframes=1,2")
    wrong = {"status": 501, "json": {"error": "PyAV is missing. Install: pip install av"}}
    shown.page.route("**/video", lambda route: route.fulfill(**wrong))
    shown.page.click("#walk-save")
    shown.page.wait_for_selector("#error:has-text('PyAV is missing')")
    shown.page.unroute_all()
    shown.page.route("**/video", lambda route: None)  # it takes for ever
    shown.page.click("#walk-save")
    assert "Drawing 91 frames" in shown.text("video-hint")
    shown.page.click("#walk-save:has-text('Stop')")
    shown.page.wait_for_selector("#walk-save:has-text('Save as video')")
    shown.page.keyboard.press("j")
    shown.page.wait_for_selector("#error", state="hidden")


def test_formats_that_the_server_lacks_are_not_offered(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = started("keyframes=1,2")
    monkeypatch.setitem(sys.modules, "av", None)
    shown.page.reload()
    shown.settled()
    kinds = shown.page.locator("#video-kinds label").all_inner_texts()
    assert kinds == ["WEBP", "GIF"]
    assert "need PyAV on the server" in shown.text("video-hint")
    monkeypatch.undo()
    shown.page.reload()
    shown.settled()
