"""The address holds the settings, and Back brings the ones before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stylert.runtime.generator import Generator

Started = Callable[..., Any]
Serve = Callable[..., str]


def test_the_address_holds_the_settings(started: Started) -> None:
    shown = started()
    shown.slide("seed", 12)
    shown.slide("psi", 0.6)
    shown.page.click("#layers-middle")
    shown.choose_set("Components")
    shown.slide("pca\\:1", 2.5)
    for key in "aja":
        shown.page.keyboard.press(key)
    shown.page.check("[name=curve][value=linear]", force=True)
    shown.slide("t", 0.4)
    pixels = shown.settled()
    shown.page.wait_for_function("() => location.hash.includes('t=0.4')")
    for part in ("keyframes=12,13", "pca:1=2.5", "curve=linear", "layers=3-7"):
        assert part in shown.hash
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


def test_start_again_can_be_undone(started: Started) -> None:
    shown = started("seed=4&psi=0.5")
    for key in "aja":
        shown.page.keyboard.press(key)
    shown.page.keyboard.press("0")  # at once: nothing was written into the address yet
    assert shown.number("psi") == 0.7
    assert shown.page.is_hidden("#keyframes")
    assert "Undo brings back" in shown.text("note")
    shown.page.click("#undo")
    shown.page.wait_for_selector("#keyframes li:nth-child(2)")
    assert (shown.number("seed"), shown.number("psi")) == (5, 0.5)
    shown.page.click("#keyframes-clear")
    shown.page.keyboard.press("Control+z")
    shown.page.wait_for_selector("#keyframes li:nth-child(2)")
    shown.page.keyboard.press("y")
    shown.page.wait_for_selector("#keyframes", state="hidden")
    assert shown.page.is_disabled("#redo")


def test_back_and_forward_undo_and_redo(started: Started, generator: Generator) -> None:
    shown = started("seed=1&psi=1")
    for key in "jjj":
        shown.page.keyboard.press(key)
        shown.page.wait_for_function(
            "() => location.hash.includes(`seed=${document.getElementById('seed').value}`)"
        )
    for step, seed in (("back", 3), ("back", 2), ("forward", 3), ("forward", 4)):
        shown.page.evaluate(f"history.{step}()")
        shown.page.wait_for_function(f"() => document.getElementById('seed').value === '{seed}'")
        np.testing.assert_array_equal(shown.settled(), generator.generate(seed)[0])
    assert shown.page.is_enabled("#undo")
    assert shown.page.is_disabled("#redo")
    shown.page.evaluate("history.go(-2)")
    shown.page.wait_for_function("() => document.getElementById('seed').value === '2'")
    assert shown.page.is_enabled("#redo")
    shown.page.keyboard.press("m")  # from here on, another way
    assert shown.page.is_disabled("#redo")


def test_what_a_hand_does_in_one_go_is_one_step(started: Started) -> None:
    shown = started("seed=1")
    steps = shown.page.evaluate("history.state.step")
    shown.page.locator("#psi-slider").scroll_into_view_if_needed()
    left, top, width, height = shown.box("#psi-slider")
    mouse = shown.page.mouse
    mouse.move(left + width / 2, top + height / 2)
    mouse.down()
    for share in (0.7, 0.8, 0.9):
        mouse.move(left + share * width, top + height / 2)
        shown.page.wait_for_timeout(300)
    psi = shown.number("psi")
    assert shown.page.evaluate("history.state.step") == steps
    mouse.up()
    shown.page.wait_for_function(f"() => location.hash.includes('psi={psi}')")
    assert shown.page.evaluate("history.state.step") == steps + 1
    shown.page.keyboard.press("p")  # so is a walk that plays
    shown.page.wait_for_function("() => document.getElementById('t').value > 0.05")
    shown.page.keyboard.press("p")
    shown.page.wait_for_function("() => location.hash.includes('t=')")
    assert shown.page.evaluate("history.state.step") <= steps + 3  # its keyframes, and its end
