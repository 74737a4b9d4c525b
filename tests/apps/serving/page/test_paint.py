"""A hole is painted over a photo, and filled."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylert.apps.demo import SOURCE

Started = Callable[..., Any]
SIDE = 128  # pixels of the photo


@pytest.fixture
def painting(
    started: Started, tmp_path: Path, request: pytest.FixtureRequest
) -> tuple[Any, list[dict[str, Any]]]:
    """The page with a photo to be painted on, and what it asks to be filled, in fewer steps."""
    tint = len(request.node.name)  # of a photo of its own: what is painted on one is kept
    ramp = np.indices((SIDE, SIDE)).sum(0).astype(np.uint8)
    Image.fromarray(np.dstack([ramp, ramp[::-1], np.full_like(ramp, tint)])).save(
        tmp_path / "photo.png"
    )
    shown = started("", of=SOURCE)
    asked: list[dict[str, Any]] = []

    def shorten(route: Any) -> None:
        asked.append(json.loads(route.request.post_data))
        route.continue_(post_data=json.dumps(asked[-1] | {"steps": 2, "seeds_start": 4}))

    shown.page.route("**/inpaint", shorten)
    shown.page.set_input_files("#photo-file", tmp_path / "photo.png")
    shown.page.wait_for_selector("#photo-count:has-text('in place of the seed')")
    shown.settled()
    shown.page.click("#photo-paint")
    shown.page.wait_for_selector("#paint-mask:visible")  # the photo is decoded first
    return shown, asked


def paint(shown: Any, *places: tuple[float, float]) -> None:
    """A stroke from place to place, as shares of the photo."""
    left, top, width, height = shown.box("#paint-mask")
    for i, (x, y) in enumerate(places):
        shown.page.mouse.move(left + x * width, top + y * height)
        if i == 0:
            shown.page.mouse.down()
    shown.page.mouse.up()


def decoded(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("L"))


def test_a_hole_is_painted_and_filled(
    painting: tuple[Any, list[dict[str, Any]]], tmp_path: Path
) -> None:
    shown, asked = painting
    page = shown.page
    assert page.is_disabled("#paint-fill")
    paint(shown, (0.25, 0.5), (0.75, 0.5))
    page.click("#paint-erase")
    assert page.get_attribute("#paint-brush", "aria-pressed") == "false"
    paint(shown, (0.75, 0.25), (0.75, 0.75))
    page.click("#paint-fill")
    page.wait_for_selector("#paint-proposals button >> nth=1")
    mask = decoded(asked[0]["mask"])
    assert mask.shape == (SIDE, SIDE)
    assert asked[0]["variants"] == 2
    for x, y, value in [(32, 64, 0), (64, 64, 0), (96, 64, 255), (64, 20, 255), (20, 96, 255)]:
        assert mask[y, x] == value, (x, y)
    with page.expect_download() as download:
        page.click("#paint-save")
    download.value.save_as(tmp_path / "filled.png")
    filled = np.asarray(Image.open(tmp_path / "filled.png").convert("RGB")).astype(int)
    photo = Image.open(tmp_path / "photo.png")
    kept = np.asarray(photo.resize(filled.shape[1::-1], Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(filled - kept)[:16].max() <= 1  # above the hole
    assert np.abs(filled - kept)[30:34, 18:38].max() > 16
    first = page.get_attribute("#paint-photo", "src")
    page.get_by_role("button", name="Proposal 2").click()
    assert page.get_attribute("#paint-photo", "src") != first
    before = shown.hash
    page.click("#paint-use")
    assert page.is_hidden("#paint")
    shown.settled()
    page.wait_for_function("before => location.hash !== before", arg=before)
    assert "photo=" in shown.hash


def test_painting_by_keys_and_what_fails(painting: tuple[Any, list[dict[str, Any]]]) -> None:
    shown, _ = painting
    page = shown.page
    page.focus("#paint-mask")
    for key in ["ArrowLeft"] * 8 + ["Space"]:
        page.keyboard.press(key)
    assert shown.violations() == []
    page.unroute("**/inpaint")
    held: list[Any] = []
    page.route("**/inpaint", lambda route: held.append(route))
    page.click("#paint-fill")
    page.wait_for_selector("#paint-fill:has-text('Stop')")
    assert shown.text("paint-progress") == "waiting"
    while not held:
        page.wait_for_timeout(5)
    mask = decoded(json.loads(held[0].request.post_data)["mask"])
    assert (mask[64, 32], mask[64, 64], mask[32, 32]) == (0, 255, 255)
    held[0].fulfill(status=503, json={"error": "The service is shutting down."})
    page.wait_for_selector("#paint-error:has-text('shutting down')")
    page.wait_for_selector("#paint-fill:has-text('Fill')")
    page.click("#paint-clear")
    assert page.is_disabled("#paint-fill")
    page.click("#paint-close")
    assert page.is_hidden("#paint")
