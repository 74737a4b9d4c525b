"""The page at /: its files, and what it does in a browser that shows it."""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stylert
from stylert.apps.serving.application import create_app
from stylert.apps.serving.server import bind, server_of
from stylert.apps.serving.settings import Settings
from stylert.runtime.generator import Generator

PAGE = Path(stylert.__file__).parent / "apps" / "serving" / "page"
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
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
SECONDS = 10_000  # milliseconds: until an expectation has failed

Serve = Callable[..., str]
Started = Callable[..., "View"]


# The files, without a browser.


def test_the_page_names_no_outside_address() -> None:
    for file in PAGE.iterdir():
        text = file.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"(?i)\b(https?|wss?|ftp):|[\"'(]//|@import", text), file


def test_the_page_fits_a_strict_policy() -> None:
    html = (PAGE / "index.html").read_text()
    assert re.findall(r"<script\b[^>]*>(.*?)</script>", html, re.DOTALL) == [""]
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    for file in PAGE.glob("*.js"):
        assert not re.search(
            r"\beval\(|new Function|innerHTML|setAttribute\(.style", file.read_text()
        )


def test_scripts_find_what_they_look_for() -> None:
    html = (PAGE / "index.html").read_text()
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    for file in PAGE.glob("*.js"):
        script = file.read_text()
        named = re.findall(r'\b(?:element|instance)\("([^"]+)"\)', script)
        named += re.findall(r'\b(?:number|seed)\("([^"]+)"', script)
        assert set(named) <= set(ids), file
        radios = re.findall(r'\b(?:radios|choices)\("([^"]+)"', script)
        assert all(f'name="{name}"' in html for name in radios), file
        for module in re.findall(r' from "\./([^"]+)"', script):
            assert (PAGE / module).is_file(), (file, module)
    for path in re.findall(r'(?:src|href)="page/([^"]+)"', html):
        assert (PAGE / path).is_file(), path
    assert set(re.findall(r'\b(?:for|aria-describedby)="([^"]+)"', html)) <= set(ids)


# In a browser.


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window, from $CHROMIUM or the PATH."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium (Debian: apt install chromium, or set CHROMIUM to its path)")
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install it")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(
            executable_path=found,
            args=FLAGS,
            chromium_sandbox=False,  # needs rights that a container has not; only our page is shown
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Serves a bundle on a free port for the rest of these tests; gives the page's address."""
    with ExitStack() as stack:

        @cache
        def address_of(bundle: Path, token: str | None = None) -> str:
            return stack.enter_context(serving(bundle, token))

        yield address_of


@contextmanager
def serving(bundle: Path, token: str | None) -> Iterator[str]:
    """The service of `stylert serve`, in a thread of this process."""
    settings = Settings(token=token)
    with Generator.open(bundle, provider="cpu") as generator, bind("127.0.0.1", 0) as listening:
        server = server_of(create_app(generator, settings), settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def only_view(browser: Any) -> Iterator[View]:
    """One window for all tests: to open another takes a second or two."""
    one = View(browser)
    yield one
    one.context.close()


@pytest.fixture
def started(only_view: View, serve: Serve, bundle: Path) -> Iterator[Started]:
    """Gives the page of a bundle with what an address says, and nothing else set."""

    def start(settings: str = "", *, of: Path | None = None) -> View:
        only_view.open(serve(of or bundle))
        only_view.page.evaluate("() => document.activeElement.blur()")
        only_view.go_to(f"#{settings}")
        only_view.settled()
        return only_view

    yield start
    only_view.page.unroute_all()
    only_view.check()


class View:
    """The page in a browser, as its user sees it."""

    def __init__(self, browser: Any) -> None:
        self.context = browser.new_context(
            viewport=DESKTOP, permissions=["clipboard-read", "clipboard-write"]
        )
        self.page = self.context.new_page()
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
        if message.type in ("error", "warning") and "status of" not in message.text:
            self.complaints.append(message.text)

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

    def check(self) -> None:
        """Nothing was complained of, and nothing came from elsewhere."""
        assert not self.complaints, self.complaints  # of scripts and of the policy
        assert all(url.startswith(tuple(self.homes)) for url in self.asked), self.asked

    def settled(self) -> np.ndarray:
        """Wait until what is set is what is shown; its pixels [H, W, 3] uint8."""
        self.page.wait_for_function(
            """() => {
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
    np.testing.assert_array_equal(before, generator.generate(0)[0])
    for name, value in {
        "seed": 5,
        "psi": 0.5,
        "cutoff": 3,
        "sefa_all_0": 4,
        "sefa_coarse_1": -3,
        "pca\\:0": 2,
    }.items():
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


def test_a_walk_is_collected_and_walked(started: Started, generator: Generator) -> None:
    shown = started("seed=4")
    assert shown.page.is_disabled("#t-slider")
    for key in "ajja":  # add seed 4, go on to 6, add it
        shown.page.keyboard.press(key)
    shown.settled()
    assert shown.page.get_by_role("button", name="Keyframe").count() == 2
    shown.slide("t", 0.25)
    between = generator.synthesize(generator.styles_between([4, 6], 0.25))[0]
    np.testing.assert_array_equal(shown.settled(), between)
    shown.page.click("#keyframes li:nth-child(2) button")
    np.testing.assert_array_equal(shown.settled(), generator.generate(6)[0])
    assert shown.number("t") == 1
    for canvas, seed in zip(shown.page.locator("#keyframes canvas").all(), (4, 6), strict=True):
        assert canvas.get_attribute("data-seed") == str(seed)
        middle = canvas.evaluate("one => [...one.getContext('2d').getImageData(49, 49, 1, 1).data]")
        assert middle[:3] == generator.generate(seed)[0][16, 16].tolist()
    shown.page.keyboard.press("k")  # another seed ends the walk
    np.testing.assert_array_equal(shown.settled(), generator.generate(5)[0])
    assert shown.page.is_disabled("#keyframe-remove")  # 5 is none of it
    shown.page.click("#keyframes li:nth-child(1) button")
    shown.page.click("#keyframe-remove")
    assert "Keyframe 1: seed 6" in shown.page.locator("#keyframes").aria_snapshot()
    shown.page.click("#keyframes-clear")
    assert shown.page.is_hidden("#keyframes")


def test_a_walk_plays_until_it_is_paused(started: Started) -> None:
    shown = started("seed=1")
    before = shown.settled()
    shown.page.keyboard.press("p")  # finds keyframes, as there are none
    assert shown.page.locator("#keyframes button").count() == 4
    assert shown.page.is_checked("#loop")
    for place in (0.01, 0.05):
        shown.page.wait_for_function(f"() => document.getElementById('t').value > {place}")
    assert shown.text("play") == "Pause"
    shown.page.keyboard.press("p")
    assert shown.text("play") == "Play"
    now = shown.settled()
    assert (now != before).any()
    place = shown.number("t")
    shown.page.wait_for_timeout(100)
    assert shown.number("t") == place
    shown.page.uncheck("#loop")
    shown.slide("t", 0.99)
    shown.page.click("#play")
    shown.page.wait_for_selector("#play:has-text('Play')")  # it ends by itself
    shown.settled()
    assert shown.number("t") == 1


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
    assert shown.number("psi") == 0.98
    for key in "jjk":
        press(key)
    assert shown.number("seed") == 1
    for key in "kk":
        press(key)
    assert shown.number("seed") == 2**32 - 1  # around the end
    shown.page.focus("#seed")
    press("0")  # in a field, it is no command
    assert shown.number("psi") == 0.98
    shown.page.focus("#psi-slider")
    press("0")
    assert shown.number("psi") == 1
    shown.open_panels()
    shown.page.focus("#shortcuts")
    press(" ")  # the page has no keys any more
    press("j")
    assert shown.number("seed") == 0
    press(" ")
    press("j")
    assert shown.number("seed") == 1


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


def test_only_the_newest_setting_is_fetched(started: Started, generator: Generator) -> None:
    shown = started()
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
    shown.page.wait_for_timeout(100)
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


def test_it_asks_for_the_token(only_view: View, serve: Serve, bundle: Path) -> None:
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
    assert download.value.suggested_filename == "seed8.png"
    download.value.save_as(tmp_path / "kept.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "kept.png")), pixels)
    shown.page.keyboard.press("l")
    assert shown.clipboard() == shown.page.url
    # As for a page that came over plain HTTP from another machine:
    shown.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    shown.page.keyboard.press("j")
    shown.settled()
    shown.page.keyboard.press("c")
    assert "generator.generate([9], " in shown.clipboard()


def test_it_has_a_phone_layout(started: Started) -> None:
    shown = started("keyframes=1,2&t=0.5")
    shown.page.set_viewport_size(PHONE)
    assert shown.page.evaluate("document.documentElement.scrollWidth") == 360
    low = shown.page.evaluate(
        """() => [...document.querySelectorAll("button, input, summary, .choice span")]
            .filter((one) => one.checkVisibility() && !["checkbox", "radio"].includes(one.type))
            .filter((one) => one.getBoundingClientRect().height < 44)
            .map((one) => one.outerHTML)"""
    )
    assert low == []
    shown.page.locator("#more-directions").scroll_into_view_if_needed()
    box = shown.page.locator("#picture").bounding_box()
    assert box is not None
    assert box["y"] >= 0  # it stays in sight
    assert box["height"] > 200
    shown.page.set_viewport_size(DESKTOP)


def test_everything_has_a_name(started: Started) -> None:
    shown = started("seed=8&psi=0.5&keyframes=1,2&sefa_coarse_1=1")
    shown.open_panels()
    tree = shown.page.locator("body").aria_snapshot()
    unnamed = re.findall(
        r"- (?:button|slider|spinbutton|radio|checkbox|img)(?: \[.*|:.*)?$", tree, re.M
    )
    assert unnamed == []
    assert 'img "Picture of seed 8, truncation 0.5, sefa_coarse_1 1"' in tree
    for name in ('slider "sefa_', 'button "Keyframe 2: seed 2"', 'slider "Place on the walk"'):
        assert name in tree
