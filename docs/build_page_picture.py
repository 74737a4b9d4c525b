"""Takes the picture of the page in README: `python docs/build_page_picture.py BUNDLE OUT.png`.

It serves the bundle on a free port, opens the page in the Chromium of this machine ($CHROMIUM or on
the PATH), and shoots it once it has drawn. Browsers differ in how they draw letters, so another
machine's picture is the same page and not the same bytes.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

import stylert
from stylert.apps.demo import find_words
from stylert.apps.serving.application import create_app
from stylert.apps.serving.server import bind, make_server
from stylert.apps.serving.settings import Settings
from stylert.apps.words import Pair

__all__ = ["SHOWN", "build"]

SHOWN = "#seed=3&class_idx=2&psi=0.8&layers=0-3&keyframes=3,5,9,14&t=0.4"  # what is set on the page
SIZE = {"width": 1440, "height": 1080}


def build(bundle: Path, out: Path, *, chromium: str) -> None:
    """Write a picture of the bundle's page."""
    with serving(bundle) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium,
            args=["--disable-gpu"],
            chromium_sandbox=False,  # needs rights that a container has not; only our page is shown
        )
        page = browser.new_page(viewport=SIZE, color_scheme="dark")  # type: ignore[arg-type]
        page.goto(address + SHOWN)
        page.wait_for_selector("#picture:not([hidden])")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=out)
        browser.close()


@contextmanager
def serving(bundle: Path) -> Iterator[str]:
    """The service of `stylert serve` in a thread; gives its address."""
    with stylert.open(bundle, provider="cpu") as generator, bind("127.0.0.1", 0) as listening:
        folder = find_words(generator.bundle)  # as `stylert serve` does
        pair = None if folder is None else Pair.open(folder)
        server = make_server(create_app(generator, Settings(), pair=pair), Settings())
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if len(sys.argv) != 3 or found is None:
        sys.exit(f"{__doc__}\nIt needs two arguments, and Chromium.")
    build(Path(sys.argv[1]), Path(sys.argv[2]), chromium=found)
