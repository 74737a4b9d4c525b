"""A photo in the place of the seed: chosen, inverted, moved, improved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import stylert
from stylert.apps.demo import SOURCE

Started = Callable[..., Any]


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.square(a.astype(float) - b).mean())


def test_a_photo_takes_the_place_of_the_seed(started: Started, tmp_path: Path) -> None:
    with stylert.open(SOURCE, backend="onnxruntime", provider="cpu") as demo:
        known = demo.generate(70, class_idx=2)[0]
        ws = demo.invert([known])
        found = demo.synthesize(ws)[0]
        moved = demo.synthesize(demo.edit(ws, "sefa_all_0", 3))[0]
        mixed = ws.copy()
        layers = list(demo.layer_groups["coarse"])
        mixed[:, layers] = demo.styles([1], class_idx=0, truncation_psi=0.7)[:, layers]
        mixed = demo.synthesize(demo.edit(mixed, "sefa_all_0", 3))[0]
    photo = tmp_path / "photo.png"
    Image.fromarray(np.pad(known, ((0, 0), (9, 9), (0, 0)))).save(photo)  # cut again
    shown = started("seed=3&class_idx=0", of=SOURCE)
    shown.page.set_input_files("#photo-file", photo)
    shown.page.wait_for_selector("#photo-count:has-text('in place of the seed')")
    assert np.abs(shown.settled().astype(int) - found).max() <= 2
    assert "a photo" in shown.page.get_attribute("#picture", "alt")
    assert "load_ws" in shown.text("code")
    shown.slide("sefa_all_0", 3)
    assert np.abs(shown.settled().astype(int) - moved).max() <= 2
    shown.page.click("#layers-coarse")
    assert np.abs(shown.settled().astype(int) - mixed).max() <= 2
    shown.page.click("#layers-coarse")
    shown.slide("sefa_all_0", 0)
    shown.page.click("#photo-improve")
    shown.page.wait_for_selector("#photo-improve:has-text('Stop')")
    progress = "document.getElementById('photo-progress').textContent"
    shown.page.wait_for_function(f"() => /^projecting \\d\\d/.test({progress})")
    shown.page.click("#photo-improve")
    shown.page.wait_for_selector("#photo-improve:has-text('Improve')")
    assert distance(shown.settled(), known) < distance(found, known)
    shown.page.click("#seed-next")
    shown.settled()
    assert shown.text("photo-count") == ""
    assert "seed 4" in shown.page.get_attribute("#picture", "alt")
    shown.page.set_input_files("#photo-file", Path(__file__))
    shown.page.wait_for_selector("#error:has-text('no picture that the browser knows')")


def test_there_is_no_photo_without_an_encoder(started: Started) -> None:
    assert started("").page.is_hidden("#photo-panel")
