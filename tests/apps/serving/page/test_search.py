"""A text in the place of the seed: searched, moved, cut, stopped, and left again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import stylert
from stylert.apps.demo import SOURCE, WORDS
from stylert.apps.serving.handles import write_handle
from stylert.apps.words import Pair, SearchSettings, search_text
from stylert.runtime.bundle import MANIFEST, sealed

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


def test_a_text_is_the_other_seed_of_a_bundle_without_encoder(
    started: Started, tmp_path: Path
) -> None:
    plain = shutil.copytree(SOURCE, tmp_path / "plain")
    manifest = json.loads((plain / MANIFEST).read_text())
    del manifest["graphs"]["encoder"], manifest["encoder"], manifest["files"]["encoder.onnx"]
    (plain / MANIFEST).write_text(json.dumps(sealed(manifest)))
    shown = started("seed=3", of=plain, clip=WORDS)
    page = shown.page
    assert page.is_hidden("#photo-panel")
    assert page.is_hidden("#mix-photo")
    with stylert.open(SOURCE, backend="onnxruntime", provider="cpu") as demo:
        handle = write_handle(demo.styles([5], class_idx=1)[0])
    found = {"id": "1", "state": "done", "w": [handle], "error": None, "notes": []}
    page.route("**/search", lambda route: route.fulfill(status=202, json=found))
    page.fill("#words-text", "a fish")
    page.press("#words-text", "Enter")
    page.wait_for_selector("#mix-photo:has-text('Of a fish')")
    page.click("#mix-photo")
    page.wait_for_function("() => location.hash.includes('mix_photo=')")
    assert page.get_attribute("#mix-photo", "aria-pressed") == "true"
