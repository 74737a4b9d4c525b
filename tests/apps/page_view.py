"""The page as its user sees it, in Chromium: that of `stylert serve`, and that of `stylert web`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
DESKTOP = (1280, 800)
SECONDS = 60_000  # milliseconds: until an expectation has failed


@contextmanager
def launched(*flags: str) -> Iterator[Any]:
    """Chromium without a window, from $CHROMIUM or the PATH; without one the test is skipped."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium (Debian: apt install chromium, or set CHROMIUM to its path)")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install it")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=found,
            args=[*FLAGS, *flags],
            chromium_sandbox=False,  # needs rights that a container has not; only our page is shown
        )
        yield browser
        browser.close()


class View:
    """The page in a browser, as its user sees it."""

    def __init__(self, browser: Any) -> None:
        # That which keeps a site for later would fetch all of it once more.
        self.context = browser.new_context(
            permissions=["clipboard-read", "clipboard-write"], service_workers="block"
        )
        self.page = self.context.new_page()
        self.size = (0, 0)
        self.resize(DESKTOP)
        self.page.set_default_timeout(SECONDS)
        self.address = ""
        self.homes: list[str] = []  # the browser may still ask the last page's for its icon
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._listen)
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, address: str) -> None:
        """Load a page, where another one is shown."""
        if address != self.address:
            self.check()
            self.asked.clear()
            self.address = address
            self.homes += [address, f"blob:{address}"]
            self.page.goto(address)

    def _listen(self, message: Any) -> None:
        known = any(words in message.text for words in ("status of", "blocked by Playwright"))
        if message.type in ("error", "warning") and not known:
            self.complaints.append(message.text)

    @property
    def hash(self) -> str:
        """The settings in the address, as the page has it now: that of `page.url` comes later."""
        return str(self.page.evaluate("location.hash"))

    def go_to(self, hash: str) -> None:
        """Read the settings of an address, without loading the page again."""
        self.page.wait_for_selector("#settings", state="visible")
        self.page.evaluate(
            """hash => {
                history.replaceState(null, "", location.pathname + hash);
                window.dispatchEvent(new HashChangeEvent("hashchange"));
            }""",
            hash,
        )

    def resize(self, size: tuple[int, int]) -> None:
        """Make the window so wide and high."""
        if size != self.size:
            self.size = size
            self.page.set_viewport_size({"width": size[0], "height": size[1]})

    def check(self) -> None:
        """Nothing was complained of, and nothing came from elsewhere."""
        assert not self.complaints, self.complaints  # of scripts and of the policy
        assert all(url.startswith(tuple(self.homes)) for url in self.asked), self.asked

    def settled(self) -> np.ndarray:
        """Wait until all panels are there and what is set is shown; its pixels [H, W, 3] uint8."""
        self.page.wait_for_function(
            """() => {
                const { hidden, classList } = document.getElementById("settings");
                if (hidden || classList.contains("building")) return false;
                const picture = document.getElementById("picture");
                const busy = document.getElementById("frame").ariaBusy === "true";
                return !busy && picture.complete && picture.naturalWidth > 0;
            }"""
        )
        return self.pixels()

    def pixels(self) -> np.ndarray:
        """The pixels of the picture on screen, [H, W, 3] uint8."""
        width, height, values = self.page.evaluate(
            """() => {
                const picture = document.getElementById("picture");
                const [width, height] = [picture.naturalWidth, picture.naturalHeight];
                const canvas = Object.assign(document.createElement("canvas"), { width, height });
                const context = canvas.getContext("2d");
                context.drawImage(picture, 0, 0);
                return [width, height, [...context.getImageData(0, 0, width, height).data]];
            }"""
        )
        return np.array(values, np.uint8).reshape(height, width, 4)[..., :3]

    def slide(self, name: str, value: float) -> None:
        """Move a slider, as a hand does."""
        self.page.locator(f"#{name}-slider").evaluate(
            """(slider, value) => {
                slider.value = value;
                slider.dispatchEvent(new Event("input"));
            }""",
            value,
        )

    def choose_set(self, name: str) -> None:
        """Show a set of directions."""
        self.page.get_by_role("radio", name=name).check(force=True)

    def text(self, id: str) -> str:
        """The words in an element."""
        return str(self.page.text_content(f"#{id}"))

    def number(self, name: str) -> float:
        """What a number's field shows."""
        return float(self.page.input_value(f"#{name}"))

    def open_panels(self) -> None:
        """Show what is folded away."""
        self.page.evaluate(
            "for (const panel of document.querySelectorAll('details')) panel.open = true"
        )

    def copied(self) -> str:
        """What the button puts on the clipboard."""
        self.page.click("#copy")
        return self.clipboard()

    def clipboard(self) -> str:
        """What the page has copied, once it says so."""
        self.page.wait_for_selector("#note:has-text('clipboard')")
        return str(self.page.evaluate("navigator.clipboard.readText()"))

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Where an element is: left, top, width, height."""
        found = self.page.locator(selector).bounding_box()
        assert found is not None, f"{selector} is not shown"
        return found["x"], found["y"], found["width"], found["height"]

    def violations(self) -> list[str]:
        """What axe-core finds wrong: the rule and the element."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [f"{rule['id']}: {node['html']}" for rule in found for node in rule["nodes"]]
