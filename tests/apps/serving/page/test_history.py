"""The address holds the settings, and Back brings the ones before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Started = Callable[..., Any]
Serve = Callable[..., str]


def test_the_address_holds_the_settings(started: Started) -> None:
    shown = started()
    shown.slide("seed", 12)
    shown.slide("psi", 0.6)
    shown.page.click("#layers-middle")
    shown.slide("pca\\:1", 2.5)
    for key in "aja":
        shown.page.keyboard.press(key)
    shown.page.check("[name=curve][value=linear]", force=True)
    shown.slide("t", 0.4)
    pixels = shown.settled()
    shown.page.wait_for_function("() => location.hash.includes('t=0.4')")
    for part in ("keyframes=12,13", "pca:1=2.5", "curve=linear", "layers=3-7"):
        assert part in shown.page.url
    shown.page.reload()
    np.testing.assert_array_equal(shown.settled(), pixels)
    assert shown.number("psi") == 0.6
    assert shown.page.is_visible("#pca\\:1")  # the set that is moved is shown
    wrong = (
        "seed=-1&psi=9&layers=0-99&class_idx=1&rotate=5&noise_mode=loud&sefa_x_0=1&seed=1e1&%00=&"
        "t=2&keyframes=1,x&curve=round&loop=2&pca:99=1"
    )
    shown.go_to(f"#{wrong}")
    assert shown.number("seed") == 10
    for name in wrong.split("&")[1:]:
        assert name.startswith(("seed", "%00")) or name.partition("=")[0] in shown.text("note")
