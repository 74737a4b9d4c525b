"""What the page draws: the picture of its settings, and nothing besides."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.runtime.generator import Generator

Started = Callable[..., Any]
Serve = Callable[..., str]


def drawn_by(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The image that a copied program makes, in a folder where it finds its bundle."""
    names: dict[str, Any] = {}
    monkeypatch.chdir(folder)
    exec(code, names)
    image: np.ndarray = names["image"]
    assert image.dtype == np.uint8
    return image


def test_it_shows_the_picture_of_its_sliders(started: Started, generator: Generator) -> None:
    shown = started()
    before = shown.settled()
    np.testing.assert_array_equal(before, generator.generate(0, truncation_psi=0.7)[0])
    sets = {"sefa_coarse_1": "Coarse", "pca\\:0": "Components"}
    for name, value in {
        "seed": 5,
        "psi": 0.5,
        "cutoff": 3,
        "sefa_all_0": 4,
        "sefa_coarse_1": -3,
        "pca\\:0": 2,
    }.items():
        if name in sets:
            shown.choose_set(sets[name])
        shown.slide(name, value)
        now = shown.settled()
        assert (now != before).any(), name
        before = now
    for button in ("#layers-coarse", "#layer-5", "#mix_seed-next"):
        shown.page.click(button)
        now = shown.settled()
        assert (now != before).any(), button
        before = now
    shown.open_panels()
    for mode in ("none", "seeded"):
        shown.page.check(f"[name=noise_mode][value={mode}]", force=True)
        now = shown.settled()
        assert (now != before).any(), mode
        before = now
    ws = generator.styles([5], truncation_psi=0.5, truncation_cutoff=3)
    layers = [0, 1, 2, 5]
    ws[:, layers] = generator.styles([2], truncation_psi=0.5, truncation_cutoff=3)[:, layers]
    ws = generator.edit(generator.edit(ws, "sefa_all_0", 4), "sefa_coarse_1", -3)
    ws = generator.edit(ws, generator.pca().direction(0), 2)
    expected = generator.synthesize(ws, noise_mode="seeded", noise_seed=0)[0]
    np.testing.assert_array_equal(before, expected)


@pytest.mark.parametrize(
    ("name", "calls_of"),
    [
        (
            "sg2-skip-32",
            {
                "seed=3&psi=0.7&noise_mode=none": "generate",
                "seed=3&cutoff=4&layers=0-2,6&mix_seed=9": "mix",
                "psi=-0.25&layers=5&noise_mode=seeded&noise_seed=4&sefa_all_1=2.5": (
                    "styles styles edit synthesize"
                ),
                "noise_seed=4&sefa_all_1=1e-3&sefa_coarse_0=-1": "styles edit edit synthesize",
                "keyframes=3,1,4&t=0.3&psi=0.8": "styles_between synthesize",
                "keyframes=3,1,4&t=0.7&curve=linear&loop=1&layers=0-3&pca:2=1.5&sefa_all_0=2": (
                    "styles_between styles pca edit edit synthesize"
                ),
            },
        ),
        (
            "sg2-cond-32",
            {
                "seed=4294967295&class_idx=3": "generate",
                "class_idx=2&layers=0-7": "mix",
                "class_idx=4&pca:0=2&pca:1=-1": "styles pca edit edit synthesize",
                "class_idx=1&keyframes=8,9&t=0.5&curve=slerp": "styles_between synthesize",
            },
        ),
        (
            "sg1-tf-32",
            {
                "seed=6": "generate",
                "seed=2&psi=0.9&cutoff=4&layers=4-7": "mix",
                "pca:0=-2&noise_mode=none": "styles pca edit synthesize",
                "keyframes=1,2&t=0.25": "styles_between synthesize",
            },
        ),
        (
            "sg3-t-64",
            {
                "seed=1&x=0.125&rotate=30": "generate",
                "y=-0.1&layers=0-2": "styles styles synthesize",
                "keyframes=5,6&t=1&rotate=-45&pca:1=2": "styles_between pca edit synthesize",
            },
        ),
    ],
)
def test_the_copied_python_draws_the_picture_on_screen(
    name: str,
    calls_of: dict[str, str],
    started: Started,
    bundle_of: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = bundle_of(name)
    shown = started(of=bundle)
    before = shown.settled()
    for settings, calls in calls_of.items():
        shown.go_to(f"#{settings}")
        pixels = shown.settled()
        assert shown.text("note") == ""  # all of it fits
        assert (pixels != before).any(), settings
        code = shown.copied()
        assert re.findall(r"generator\.(\w+)\(", code) == calls.split()
        np.testing.assert_array_equal(drawn_by(code, bundle.parent, monkeypatch), pixels)
        assert max(map(len, code.splitlines())) <= 88
        before = pixels


def test_only_the_newest_setting_is_fetched(started: Started, generator: Generator) -> None:
    shown = started("psi=1")
    shown.asked.clear()
    held: list[Any] = []
    free = threading.Event()
    shown.page.route(
        "**/generate", lambda route: route.continue_() if free.is_set() else held.append(route)
    )
    shown.page.locator("#seed-slider").evaluate(  # faster than any picture
        """slider => {
            for (let seed = 1; seed < 30; seed++) {
                slider.value = seed;
                slider.dispatchEvent(new Event("input"));
            }
        }"""
    )
    while not held:
        shown.page.wait_for_timeout(5)
    shown.page.wait_for_timeout(100)  # for others
    assert [route.request.post_data_json["seeds"] for route in held] == [1]
    free.set()
    held[0].continue_()
    np.testing.assert_array_equal(shown.settled(), generator.generate(29)[0])
    drawn = [url for url in shown.asked if url.endswith("/generate")]
    assert len(drawn) == 2  # seed 1, seed 29


def test_errors_are_told_in_words(started: Started) -> None:
    shown = started()
    before = shown.settled()
    answers: list[Callable[[Any], None]] = [
        lambda route: route.fulfill(status=503, json={"error": "The service is shutting down."}),
        lambda route: route.fulfill(status=502, body="<p>from a proxy"),
        lambda route: route.abort(),
        lambda route: route.fulfill(
            status=429, json={"error": "busy"}, headers={"Retry-After": "0"}
        ),
    ]
    shown.page.route("**/generate", lambda route: answers.pop(0)(route))
    for words in ("The service is shutting down.", "answered 502", "cannot be reached"):
        shown.page.keyboard.press("j")
        shown.page.wait_for_selector(f"#error:has-text('{words}')")
        np.testing.assert_array_equal(shown.pixels(), before)  # the old one stays
    answers.append(lambda route: route.continue_())
    shown.page.keyboard.press("j")  # the server is busy once, and then it draws
    shown.page.wait_for_selector("#error", state="hidden")
    assert (shown.settled() != before).any()
    shown.complaints.clear()  # the browser's own, of the answer that did not come


def test_it_asks_for_the_token(only_view: Any, serve: Serve, bundle: Path) -> None:
    shown = only_view
    shown.open(serve(bundle, "right"))
    for token in ("wrong", "right"):
        shown.page.wait_for_selector("#token-form", state="visible")
        assert shown.page.evaluate("document.activeElement.id") == "token"
        assert shown.page.is_hidden("#settings")
        shown.page.fill("#token", token)
        shown.page.keyboard.press("Enter")
        if token == "wrong":
            shown.page.wait_for_selector("#error:has-text('wrong')")
    shown.settled()
    assert shown.page.is_hidden("#token-form")
    shown.page.reload()
    shown.settled()  # it is remembered


def test_the_picture_and_its_link_can_be_kept(started: Started, tmp_path: Path) -> None:
    from PIL import Image

    shown = started("seed=8")
    pixels = shown.settled()
    with shown.page.expect_download() as download:
        shown.page.keyboard.press("d")
    assert download.value.suggested_filename == "seed-8.png"
    download.value.save_as(tmp_path / "kept.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "kept.png")), pixels)
    shown.page.keyboard.press("l")
    assert shown.clipboard() == f"{shown.address}{shown.hash}"
    # As for a page that came over plain HTTP from another machine:
    shown.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    shown.page.keyboard.press("j")
    shown.settled()
    shown.page.keyboard.press("c")
    assert "generator.generate([9], " in shown.clipboard()
