"""A text in the place of the seed: searched, moved, cut, stopped, and left again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import stylert
from stylert.apps.demo import SOURCE, WORDS
from stylert.apps.words import Pair, SearchSettings, search_text

Started = Callable[..., Any]

QUICK = {"seeds_start": 24, "generations": 1}


def test_a_text_takes_the_place_of_the_seed(started: Started) -> None:
    with stylert.open(SOURCE, backend="onnxruntime", provider="cpu") as demo:
        settings = SearchSettings(truncation_psi=0.6, **QUICK)
        found = search_text(demo, Pair.open(WORDS), "a blue fish", settings)
        moved = demo.synthesize(demo.edit(found.ws, "sefa_all_0", 3))[0]
    shown = started("seed=3&psi=0.6", of=SOURCE, clip=WORDS)
    asked: list[dict[str, Any]] = []

    def quickly(route: Any) -> None:
        asked.append(route.request.post_data_json)
        route.continue_(post_data=asked[-1] | changes)

    changes: dict[str, Any] = QUICK
    shown.page.route("**/search", quickly)
    shown.page.fill("#words-text", "a blue fish")
    shown.page.press("#words-text", "Enter")
    shown.page.wait_for_selector("#words-count:has-text('in place of the seed')")
    assert asked == [{"text": "a blue fish", "truncation_psi": 0.6}]
    assert np.abs(shown.settled().astype(int) - found.images[0]).max() <= 2
    assert shown.page.get_attribute("#picture", "alt").startswith("Picture of a blue fish, trunc")
    assert "load_ws" in shown.text("code")
    with shown.page.expect_download() as styles:
        shown.page.click("#words-save")
    assert styles.value.suggested_filename in shown.text("code")
    assert shown.text("mix-photo") == "Of a blue fish"
    assert shown.text("photo-count") == ""
    shown.slide("sefa_all_0", 3)
    assert np.abs(shown.settled().astype(int) - moved).max() <= 2
    with shown.page.expect_download() as download:
        shown.page.click("#download")
    assert download.value.suggested_filename == "a-blue-fish.png"
    changes = {"seeds_start": 1, "generations": 0}
    shown.page.fill("#words-text", "a red flower and " * 50)
    shown.page.click("#words-find")
    shown.page.wait_for_selector("#words-progress:has-text('was cut off')")
    changes = {"seeds_start": 1, "generations": 1000}
    shown.page.click("#words-find")
    shown.page.wait_for_selector("#words-progress:has-text('searching nearby')")
    shown.page.click("#words-find")
    shown.page.wait_for_selector("#words-find:has-text('Find')")
    shown.page.click("#words-clear")
    shown.settled()
    assert "seed 3" in shown.page.get_attribute("#picture", "alt")
