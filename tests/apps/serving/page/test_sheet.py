"""The sheet of seeds to choose from, the first picture, and the full screen."""

from __future__ import annotations

import io
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylert.runtime.generator import Generator
from stylert.runtime.images import make_grid

Started = Callable[..., Any]
Serve = Callable[..., str]


def middles(shown: Any) -> list[list[int]]:
    """The pixels in the middle of all cells, once they are drawn."""
    shown.page.wait_for_selector("#sheet-cells[aria-busy=false]")
    drawn = shown.page.locator("#sheet-cells canvas").evaluate_all(
        "all => all.map((one) => one.toDataURL())"
    )
    pictures = [Image.open(io.BytesIO(b64decode(url.partition(",")[2]))) for url in drawn]
    return [list(picture.getpixel((49, 49))[:3]) for picture in pictures]


def test_a_seed_is_chosen_from_a_sheet(started: Started, generator: Generator) -> None:
    shown = started("seed=26&psi=1&sefa_all_0=2")
    shown.page.keyboard.press("s")
    ws = generator.edit(generator.styles(range(24, 48)), "sefa_all_0", 2)
    drawn = generator.synthesize(ws)
    assert middles(shown) == drawn[:, 16, 16].tolist()
    assert shown.page.get_by_role("button", name="Seed 26", pressed=True).count() == 1
    shown.page.keyboard.press("j")  # is a command of the page below, which waits
    assert shown.number("seed") == 26
    shown.page.click("#sheet-after")
    shown.page.click("#sheet-before")
    shown.page.click("#sheet-before")
    assert shown.page.get_by_role("button", name="Seed 23").is_visible()
    shown.page.get_by_role("button", name="Seed 5", exact=True).click()
    assert shown.page.is_hidden("#sheet")
    ws = generator.edit(generator.styles(5), "sefa_all_0", 2)
    np.testing.assert_array_equal(shown.settled(), generator.synthesize(ws)[0])


def test_the_other_seed_is_chosen_by_what_the_mix_becomes(
    started: Started, generator: Generator
) -> None:
    shown = started("seed=3&psi=1&layers=0-3")
    shown.page.click("#mix-sheet")
    mixed = generator.mix([3], range(24), layers="0-3")[0]
    assert middles(shown) == mixed[:, 16, 16].tolist()
    shown.page.get_by_role("button", name="Seed 7", exact=True).click()
    np.testing.assert_array_equal(shown.settled(), mixed[7])


def test_keyframes_are_chosen_from_a_sheet(started: Started) -> None:
    shown = started("seed=3&psi=1")
    shown.page.click("#walk-sheet")
    for seed in (4, 9, 2, 9):  # the last is taken out again
        shown.page.get_by_role("button", name=f"Seed {seed}", exact=True).click()
    shown.page.keyboard.press("Escape")
    names = shown.page.get_by_role("button", name="Keyframe").evaluate_all(
        "all => all.map((one) => one.ariaLabel)"
    )
    assert names == ["Keyframe 1: seed 4", "Keyframe 2: seed 2"]


def test_a_sheet_can_be_kept(started: Started, generator: Generator, tmp_path: Path) -> None:
    shown = started("seed=3&psi=1")
    shown.page.click("#seed-sheet")
    with shown.page.expect_download() as download:
        shown.page.click("#sheet-download")
    assert download.value.suggested_filename == "seeds-0-to-23.png"
    download.value.save_as(tmp_path / "kept.png")
    expected = make_grid(generator.generate(range(24)))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "kept.png")), expected)
    shown.page.click("#sheet-close")


def test_a_sheet_that_fails_says_why(started: Started) -> None:
    shown = started("seed=3")
    answer = {"status": 503, "json": {"error": "The service is shutting down."}}
    shown.page.route("**/generate", lambda route: route.fulfill(**answer))
    shown.page.keyboard.press("s")
    shown.page.wait_for_selector("#error:has-text('shutting down')")
    assert shown.page.is_hidden("#sheet")
    shown.page.unroute_all()
    shown.page.keyboard.press("j")
    shown.page.wait_for_selector("#error", state="hidden")


def test_the_first_picture_has_most_to_see(
    started: Started, serve: Serve, conditional_bundle: Path, conditional: Generator
) -> None:
    shown = started("")
    page = shown.context.new_page()
    page.add_init_script("performance.now = () => 0")  # however slow this machine is
    page.goto(serve(conditional_bundle))
    page.wait_for_selector("#picture:not([hidden])")
    classes = [seed % 5 for seed in range(8)]
    drawn = conditional.generate(range(8), class_idx=classes, truncation_psi=0.7)
    details = np.abs(np.diff(drawn.reshape(8, -1, 3).astype(int), axis=1)).sum(axis=(1, 2))
    best = int(details.argmax())
    assert page.input_value("#seed") == str(best)
    assert page.get_by_role("radio", name=f"class {classes[best]}").is_checked()
    assert f"seed={best}" in page.evaluate("location.hash")
    page.keyboard.press("j")
    page.keyboard.press("0")  # where it started
    assert page.input_value("#seed") == str(best)
    page.close()


def test_the_picture_fills_the_screen(started: Started) -> None:
    shown = started("seed=3")
    shown.page.keyboard.press("f")
    shown.page.wait_for_function("() => document.fullscreenElement?.id === 'frame'")
    wide, high = shown.page.evaluate("[innerWidth, innerHeight]")
    _, _, width, height = shown.box("#picture")
    assert width == height == min(wide, high)
    shown.page.keyboard.press("j")
    assert shown.number("seed") == 4
    shown.page.keyboard.press("f")
    shown.page.wait_for_function("() => !document.fullscreenElement")
