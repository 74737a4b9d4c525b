"""The page says in words: classes, directions, what psi and cutoff do, and what has no effect."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.runtime.bundle import sealed
from stylert.runtime.generator import Generator

Started = Callable[..., Any]
Changed = Callable[..., Path]


@pytest.fixture
def changed(bundle_of: Callable[[str], Path], tmp_path: Path) -> Changed:
    """Gives the bundle of a golden with something else in its manifest."""

    def change(name: str, **changes: Any) -> Path:
        copy = shutil.copytree(bundle_of(name), tmp_path / name)
        manifest = json.loads((copy / "manifest.json").read_bytes())
        (copy / "manifest.json").write_text(json.dumps(sealed(manifest | changes)))
        return Path(copy)

    return change


def test_classes_have_their_names(
    started: Started, changed: Changed, conditional: Generator
) -> None:
    names = ["flower", "fish", "butterfly", "<b>", "house"]
    shown = started("class_idx=2&seed=8", of=changed("sg2-cond-32", classes=names))
    assert shown.page.get_by_role("radio", name="butterfly").is_checked()
    shown.page.get_by_role("radio", name="house").check(force=True)
    drawn = conditional.generate(8, class_idx=4, truncation_psi=0.7)[0]
    np.testing.assert_array_equal(shown.settled(), drawn)
    assert "seed 8, house" in shown.page.get_attribute("#picture", "alt")
    assert "class_idx=4" in shown.copied()
    with shown.page.expect_download() as download:
        shown.page.keyboard.press("d")
    assert download.value.suggested_filename == "seed-8-house.png"


def test_classes_without_names_have_numbers(started: Started, conditional_bundle: Path) -> None:
    shown = started("class_idx=3", of=conditional_bundle)
    assert shown.page.get_by_role("radio", name="class 3").is_checked()
    assert "class 3" in shown.page.get_attribute("#picture", "alt")


def test_many_classes_are_a_list(started: Started, conditional_bundle: Path) -> None:
    def with_many(route: Any) -> None:
        facts = route.fetch().json()
        route.fulfill(json=facts | {"c_dim": 1000, "classes": [f"kind {i}" for i in range(1000)]})

    shown = started("class_idx=3", of=conditional_bundle)
    shown.page.route("**/info", with_many)
    shown.page.reload()
    shown.settled()
    assert shown.page.locator("#class_idx option:checked").inner_text() == "kind 3"
    shown.page.select_option("#class_idx", label="kind 1")
    shown.settled()
    assert "kind 1," in shown.page.get_attribute("#picture", "alt")
    shown.page.unroute_all()
    shown.page.reload()


def test_directions_have_names(started: Started) -> None:
    shown = started("sefa_coarse_1=1")
    sets = shown.page.locator("#direction-sets label").all_inner_texts()
    assert sets == ["All layers", "Coarse", "Middle", "Components"]  # of 8 layers, none is fine
    assert shown.page.get_by_role("slider", name="coarse 2").is_visible()
    assert "coarse layers" in shown.text("directions-hint")
    shown.choose_set("Components")
    assert shown.page.get_by_role("slider", name="component 1").is_visible()
    words = shown.page.evaluate(
        """async () => {
            const { directionNamed } = await import("./page/names.js");
            const named = ["smile", "big_hat", "age_2", "sefa_x_1"].map(directionNamed);
            return named.map(({ words, set }) => [words, set]);
        }"""
    )
    assert words == [
        ["smile", "Named"],
        ["big hat", "Named"],
        ["age 2", "age"],
        ["sefa x 1", "sefa x"],
    ]


def test_sliders_come_a_few_at_a_time(started: Started) -> None:
    """All at once, they hold the page up for a tenth of a second and more."""
    shown = started()
    shown.page.reload()
    shown.settled()
    rows = shown.page.locator("#directions .row")
    assert rows.count() == 5  # of 80
    shown.page.evaluate(
        """() => {
            window.pieces = [];
            const note = (changes) =>
                pieces.push(changes.reduce((sum, { addedNodes }) => sum + addedNodes.length, 0));
            const list = document.getElementById("directions");
            new MutationObserver(note).observe(list, { childList: true });
        }"""
    )
    shown.page.click("#more-directions")
    shown.page.wait_for_function(
        "() => document.querySelectorAll('#directions .row').length === 20"
    )
    assert shown.page.evaluate("pieces") == [5, 5, 5]  # each in a task of its own
    shown.go_to("#sefa_all_19=2")
    assert shown.number("sefa_all_19") == 2
    shown.choose_set("Coarse")
    rows.nth(39).wait_for(state="attached")
    shown.choose_set("All layers")
    assert rows.count() == 40
    words = shown.page.locator("#directions .row:not([hidden]) label").all_inner_texts()
    assert words == [f"all layers {i}" for i in range(1, 21)]
    shown.page.click("#more-directions")


def test_truncation_is_explained(started: Started) -> None:
    shown = started("")
    hints = []
    for cutoff in (8, 3, 0):
        shown.slide("cutoff", cutoff)
        hints.append(shown.text("cutoff-hint"))
    assert "All 8 layers" in hints[0]
    assert "Layers 0 to 2" in hints[1]
    assert "psi does nothing" in hints[2]
    assert shown.page.get_attribute("#cutoff", "aria-describedby") == "cutoff-hint"


def test_noise_that_does_nothing_is_not_offered(
    started: Started, changed: Changed, bundle: Path
) -> None:
    statistics = json.loads((bundle / "manifest.json").read_bytes())["statistics"]
    shown = started("", of=changed("sg2-skip-32", statistics=statistics | {"noise_strength": 0.0}))
    shown.open_panels()
    assert shown.page.is_visible("#noise-hint")
    assert shown.page.is_hidden("#noise-modes")
    assert shown.page.is_hidden("#noise-row")
    shown = started("")
    shown.open_panels()
    assert shown.page.is_hidden("#noise-hint")
    assert shown.page.is_visible("#noise-modes")


@pytest.mark.parametrize("size", [(1280, 800), (320, 568)])
def test_long_names_stay_in_the_page(
    started: Started, changed: Changed, size: tuple[int, int]
) -> None:
    names = ["W" * 100, "a b " * 24 + "x", "é" * 90, "<b>", "house"]
    shown = started("seed=1", of=changed("sg2-cond-32", classes=names))
    shown.resize(size)
    assert shown.page.evaluate("document.documentElement.scrollWidth") == size[0]
    right = "(one) => one.getBoundingClientRect().right"
    assert shown.page.locator("#class-row label").first.evaluate(right) <= size[0]
