"""The page for everybody: by keyboard, and by screen reader."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Started = Callable[..., Any]
Serve = Callable[..., str]


def test_all_is_reached_with_the_tab_key(started: Started) -> None:
    shown = started("keyframes=1,2")
    shown.open_panels()
    shown.page.focus("#copy")
    seen = {"copy"}
    while "shortcuts" not in seen and len(seen) < 200:
        shown.page.keyboard.press("Tab")
        name, kind, outline = shown.page.evaluate(
            """() => {
                const { id, type } = document.activeElement;
                return [id, type, getComputedStyle(document.activeElement).outlineStyle];
            }"""
        )
        assert outline != "none" or kind == "radio"  # what is beside these has it
        seen.add(name or len(seen))
    assert {"copy", "download", "reset", "seed", "psi-slider", "layers-coarse", "layer-7"} <= seen
    assert {"sefa_all_0-slider", "more-directions", "mix_seed-random", "shortcuts"} <= seen
    assert {"play", "keyframe-add", "t-slider", "loop"} <= seen


def test_it_is_usable_from_the_keyboard(started: Started) -> None:
    shown = started()
    press = shown.page.keyboard.press
    shown.page.focus("#psi-slider")
    press("ArrowLeft")
    press("ArrowLeft")
    assert shown.number("psi") == 0.68
    for key in "jjk":
        press(key)
    assert shown.number("seed") == 1
    for key in "kk":
        press(key)
    assert shown.number("seed") == 2**32 - 1  # around the end
    shown.page.focus("#seed")
    press("0")  # in a field, it is no command
    assert shown.number("psi") == 0.68
    shown.page.focus("#psi-slider")
    press("0")
    assert shown.number("psi") == 0.7
    shown.open_panels()
    shown.page.focus("#shortcuts")
    press(" ")  # the page has no keys any more
    press("j")
    assert shown.number("seed") == 0
    press(" ")
    press("j")
    assert shown.number("seed") == 1


def test_everything_has_a_name(started: Started) -> None:
    shown = started("seed=8&psi=0.5&keyframes=1,2&sefa_coarse_1=1")
    shown.open_panels()
    tree = shown.page.locator("body").aria_snapshot()
    unnamed = re.findall(
        r"- (?:button|slider|spinbutton|radio|checkbox|img)(?: \[.*|:.*)?$", tree, re.M
    )
    assert unnamed == []
    assert 'img "Picture of seed 8, truncation 0.5, coarse 2 at 1"' in tree
    for name in ('slider "coarse 1"', 'button "Keyframe 2: seed 2"', 'slider "Place on the walk"'):
        assert name in tree
