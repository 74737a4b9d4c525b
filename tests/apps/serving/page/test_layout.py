"""The page on a desktop and on phones: nothing jumps, nothing is cut off, all is accessible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Started = Callable[..., Any]

PHONE, SMALL = (390, 844), (320, 568)
SIZES = [(1280, 800), (840, 700), PHONE, SMALL]
FULL = (  # all that takes room, as wide as it gets
    "seed=4294967295&psi=-0.55&cutoff=1&layers=0-3,5&mix_seed=4294967295&noise_mode=seeded"
    "&noise_seed=4294967295&sefa_all_0=-9.9&sefa_coarse_1=1&t=0.455&curve=slerp&loop=1"
    f"&keyframes={','.join(['4294967295'] * 16)}"
)
WRONG = {"error": "bad " * 50}
CUT_OFF = """() => {
    const wide = document.documentElement.clientWidth;
    const places = [];
    for (const one of document.querySelectorAll("body *")) {
        const { left, right, width } = one.getBoundingClientRect();
        const shown = one.checkVisibility({ opacityProperty: true, visibilityProperty: true });
        if (!shown || width <= 1 || one.closest(".keyframes, pre, option")) continue;
        const outside = left < -0.5 || right > wide + 0.5;
        const words = one.matches("button, label, summary, select, p, span, dt, dd, h1, h2, input");
        const clipped = words && one.clientWidth && one.scrollWidth > one.clientWidth + 1;
        if (outside || clipped) places.push(one.outerHTML.slice(0, 200));
    }
    return places;
}"""


def test_nothing_is_cut_off(started: Started) -> None:
    shown = started(FULL)
    shown.open_panels()
    shown.page.click("#more-directions")
    shown.page.locator("#directions .row").nth(19).wait_for()
    _check_that_all_fits(shown)
    shown.page.click("#more-directions")
    shown.page.keyboard.press("s")
    shown.page.wait_for_selector("#sheet-cells[aria-busy=false]")
    _check_that_all_fits(shown)
    shown.page.keyboard.press("Escape")


def _check_that_all_fits(shown: Any) -> None:
    for size in SIZES:
        shown.resize(size)
        assert shown.page.evaluate("document.documentElement.scrollWidth") == size[0], size
        assert shown.page.evaluate(CUT_OFF) == [], size


def test_the_picture_stays_where_it_is(started: Started) -> None:
    """Whatever is said, collected, opened, or goes wrong, in a window of any size."""
    shown = started("seed=1")

    def find_picture() -> dict[tuple[int, int], tuple[float, float, float, float]]:
        places = {}
        for size in SIZES:
            shown.resize(size)
            places[size] = shown.box("#picture")
        return places

    before = {size: pytest.approx(box, abs=0.5) for size, box in find_picture().items()}
    for count in range(14):
        shown.page.keyboard.press("j" if count else "a")
        shown.page.keyboard.press("a")
        shown.settled()
    assert find_picture() == before
    for key in "clp":
        shown.page.keyboard.press(key)
        shown.page.wait_for_timeout(50)
        assert find_picture() == before, key
    shown.page.keyboard.press("p")
    shown.settled()
    shown.page.route("**/generate", lambda route: route.fulfill(status=500, json=WRONG))
    shown.page.keyboard.press("j")
    shown.page.wait_for_selector("#error:has-text('bad')")
    assert find_picture() == before
    shown.page.unroute_all()
    shown.page.keyboard.press("j")
    shown.page.wait_for_selector("#error", state="hidden")
    shown.open_panels()
    assert find_picture() == before


@pytest.mark.parametrize("size", [PHONE, SMALL])
def test_fingers_fit(size: tuple[int, int], started: Started) -> None:
    shown = started("keyframes=1,2&t=0.5")
    shown.resize(size)
    low = shown.page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, summary, .choice span")]
            .filter((one) => one.checkVisibility() && !["checkbox", "radio"].includes(one.type))
            .filter((one) => one.getBoundingClientRect().height < 44)
            .map((one) => one.outerHTML)"""
    )
    assert low == []
    shown.page.locator("#more-directions").scroll_into_view_if_needed()
    _, top, _, height = shown.box("#picture")
    assert top >= 0  # it stays in sight
    assert height > 200


# The colours are the same in every size.
@pytest.mark.parametrize(
    ("size", "scheme"), [((1280, 800), "light"), ((1280, 800), "dark"), (SMALL, "light")]
)
def test_axe_finds_nothing(size: tuple[int, int], scheme: str, started: Started) -> None:
    shown = started(FULL)
    shown.resize(size)
    shown.page.emulate_media(color_scheme=scheme)
    shown.open_panels()
    assert shown.copied()  # something is said
    assert shown.violations() == []
    shown.page.keyboard.press("s")
    shown.page.wait_for_selector("#sheet-cells[aria-busy=false]")
    assert shown.violations() == []
    shown.page.keyboard.press("Escape")
    shown.page.emulate_media(color_scheme="no-preference")
