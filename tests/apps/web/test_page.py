"""The page of a site: what it says when something is missing, its films, a visit offline."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stylert
from stylert.apps.web.preview import make_server
from stylert.runtime.images import make_grid
from stylert.tests.loading import load_file

HERE = load_file(Path(__file__).with_name("conftest.py"), "web_conftest")
WALK = "keyframes=1,2&seconds=0.5&t=0"  # 16 frames


@pytest.fixture(scope="module")
def window(browser: Any) -> Iterator[Any]:
    """One that keeps no site for later: to open another takes a second or two."""
    context = browser.new_context(service_workers="block")
    yield context
    context.close()


@pytest.fixture
def page(window: Any) -> Iterator[Any]:
    """A page of its own, whose files come from the server."""
    opened = window.new_page()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def address(site_of: Callable[[Path], Path], bundle: Path) -> Iterator[str]:
    with HERE.serving(site_of(bundle)) as address:
        yield address


def error_of(page: Any) -> str:
    page.wait_for_selector("#error:visible")
    return str(page.text_content("#error"))


def saved(page: Any, kind: str) -> bytes:
    """The walk as a file of a kind."""
    page.locator(f"#video-kinds label:has-text('{kind}')").click()
    with page.expect_download() as download:
        page.click("#walk-save")
    return Path(download.value.path()).read_bytes()


@pytest.fixture(scope="module")
def frames(bundle: Path) -> list[np.ndarray]:
    """The frames of WALK [H, W, C] as the runtime draws them."""
    with stylert.open(bundle, backend="onnxruntime", provider="cpu") as generator:
        psi = min(generator.spec.truncation_psi, 0.7)
        return list(generator.interpolate([1, 2], frames=15, truncation_psi=psi))


def test_frames_of_a_walk(
    visit: Callable[..., Any], bundle: Path, frames: list[np.ndarray]
) -> None:
    view = visit(bundle, WALK)
    with zipfile.ZipFile(io.BytesIO(saved(view.page, "ZIP"))) as packed:
        assert packed.testzip() is None
        names = packed.namelist()
        got = [np.asarray(Image.open(io.BytesIO(packed.read(name)))) for name in names]
    assert names == [f"{i:05}.png" for i in range(16)]
    assert np.abs(np.int32(got) - np.int32(frames)).max() <= 1


def test_video_of_a_walk(visit: Callable[..., Any], bundle: Path, frames: list[np.ndarray]) -> None:
    av = pytest.importorskip("av", reason="no PyAV to read a video with: pip install av")
    video = saved(visit(bundle, WALK).page, "WEBM")
    with av.open(io.BytesIO(video)) as film:
        assert film.duration == pytest.approx(16 / 30 * 1e6, abs=1000)  # microseconds
        shown = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(shown) == len(frames)
    for got, expected in zip(shown, frames, strict=True):
        assert np.abs(got.mean((0, 1)) - expected.mean((0, 1))).max() < 3  # it is not lossless


def test_grid_of_a_sheet(visit: Callable[..., Any], bundle: Path) -> None:
    page = visit(bundle).page
    page.click("#seed-sheet")
    page.wait_for_selector("#sheet-cells[aria-busy=false]")
    with page.expect_download() as download:
        page.click("#sheet-download")
    page.click("#sheet-close")
    got = np.asarray(Image.open(download.value.path()))
    with stylert.open(bundle, backend="onnxruntime", provider="cpu") as generator:
        psi = min(generator.spec.truncation_psi, 0.7)
        expected = make_grid(generator.generate(range(24), truncation_psi=psi))
    assert np.abs(got.astype(int) - expected.astype(int)).max() <= 1


def test_second_visit_needs_no_network(
    browser: Any, site_of: Callable[[Path], Path], bundle: Path
) -> None:
    with closing(browser.new_context()) as context:
        page = context.new_page()
        with HERE.serving(site_of(bundle)) as address:
            page.goto(address)
            page.wait_for_selector("#picture:visible")
            page.evaluate("navigator.serviceWorker.ready")
        page.goto(address)  # where nobody serves it any more
        page.wait_for_selector("#picture:visible")
        page.click("#seed-next")
        page.wait_for_selector("#frame[aria-busy=false]")
        assert page.is_hidden("#error")


WATCH = """
window.shown = []; // panels, at each change
window.reads = 0; // of storage, for which the page would wait
const read = Storage.prototype.getItem;
Storage.prototype.getItem = function (key) { reads++; return read.call(this, key); };
new MutationObserver(() => {
    const form = document.getElementById("settings");
    if (!form.hidden) shown.push([...form.children].filter((part) => !part.hidden).length);
}).observe(document, { subtree: true, attributeFilter: ["hidden"] });
window.fonts = new Set(); // that were looked up
const measure = CanvasRenderingContext2D.prototype.measureText;
CanvasRenderingContext2D.prototype.measureText = function (text) {
    fonts.add(this.font);
    return measure.call(this, text);
};
"""
OTHER_FONTS = """() => {
    const context = document.createElement("canvas").getContext("2d");
    const fontOf = (element) => {
        const { fontWeight, fontSize, fontFamily } = getComputedStyle(element);
        context.font = `${fontWeight} ${fontSize} ${fontFamily}`;
        return context.font;
    };
    fonts.add(fontOf(document.body)); // of the first words
    const shown = [...document.querySelectorAll("main *")].filter((e) => e.checkVisibility());
    return shown.filter((e) => !fonts.has(fontOf(e))).map((e) => `${e.outerHTML} ${fontOf(e)}`);
}"""


def test_opens_in_pieces(page: Any, address: str) -> None:
    """To lay out all panels at once would hold the page up, and so do fonts and storage."""
    page.add_init_script(WATCH)
    page.goto(address)
    page.wait_for_selector("#settings:not(.building):visible")
    shown = page.evaluate("shown")
    assert shown[0] == 0
    assert shown[-1] >= 8
    assert set(np.diff(shown)) <= {0, 1}
    assert page.evaluate(OTHER_FONTS) == []
    assert page.evaluate("reads") == 0
    page.keyboard.press("r")  # whether keys work is in the storage
    assert page.evaluate("reads") == 1


def test_opened_as_a_file(page: Any, site_of: Callable[[Path], Path], bundle: Path) -> None:
    page.goto((site_of(bundle) / "index.html").as_uri())
    assert "http.server" in error_of(page)


@pytest.mark.parametrize("name", ["weights.bin", "synthesis.onnx", "info.json"])
def test_missing_file(page: Any, address: str, name: str) -> None:
    page.route(f"**/bundle/{name}", lambda route: route.fulfill(status=404))
    page.goto(address)
    assert f"bundle/{name} is missing on this server" in error_of(page)


@pytest.mark.parametrize("name", ["weights.bin", "info.json"])
@pytest.mark.parametrize("change", [b"x", b""], ids=["changed", "cut off"])
def test_changed_file(page: Any, address: str, name: str, change: bytes) -> None:
    def answer(route: Any) -> None:
        body = route.fetch().body()
        route.fulfill(body=body[:-1] + change)

    page.route(f"**/bundle/{name}", answer)
    page.goto(address)
    assert f"bundle/{name} is not the file that 'stylert web' wrote" in error_of(page)


MISSING: dict[str, Any] = {"status": 404}
CUT_OFF: dict[str, Any] = {"body": "export const", "content_type": "text/javascript"}


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("page/zip.js", MISSING, "page/zip.js is missing on this server (404)."),
        ("page/zip.js", CUT_OFF, "page/zip.js is cut off, changed or of another time."),
        ("page/ways.js", MISSING, "The part of the page that draws cannot be loaded"),
        ("runtime/ort.wasm.min.mjs", MISSING, "runtime/ort.wasm.min.mjs cannot be loaded"),
        ("runtime/*.wasm", MISSING, "onnxruntime-web cannot be started: a file in runtime/"),
    ],
)
def test_damaged_script(
    page: Any, address: str, name: str, answer: dict[str, Any], words: str
) -> None:
    page.route(f"**/{name}", lambda route: route.fulfill(**answer))
    page.goto(address)
    told = error_of(page)
    assert words in told
    assert "All files that 'stylert web' wrote must be there." in told


def test_without_webassembly(page: Any, address: str) -> None:
    page.add_init_script("delete globalThis.WebAssembly")
    page.goto(address)
    assert "no WebAssembly" in error_of(page)


WARN = """async ([bytes, device]) => {
    const { warnOfMemory } = await import("./page/memory.js");
    return warnOfMemory(bytes, device);
}"""
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148"


def test_device_with_little_memory(page: Any, address: str) -> None:
    page.add_init_script("Object.defineProperty(navigator, 'deviceMemory', { value: 0.5 })")
    page.goto(address)
    page.wait_for_selector("#picture:visible")  # it may do all the same
    warning = page.text_content("#warning")
    assert re.search(r"about 0\.[3-9] GB of memory, and this device has 0\.5 GB", warning)
    assert "Close other pages" in warning
    for gigabytes, device, words in [
        (1.1, {"deviceMemory": 2, "userAgent": ""}, "1.1 GB of memory, and this device has 2 GB"),
        (0.9, {"deviceMemory": 2, "userAgent": ""}, ""),
        (1.1, {"userAgent": PHONE}, "phones give a page about 1 GB"),
        (0.9, {"userAgent": PHONE}, ""),
        (1.1, {"userAgent": "Macintosh", "maxTouchPoints": 5}, "phones give"),  # an iPad
        (9.0, {"userAgent": "Macintosh", "maxTouchPoints": 0}, ""),
    ]:
        warning = page.evaluate(WARN, [gigabytes * 2**30, device])
        assert words in warning if words else not warning, (gigabytes, device)


def test_device_whose_memory_is_full(page: Any, address: str) -> None:
    def answer(route: Any) -> None:
        response = route.fetch()
        full = "() => { throw new RangeError('Array buffer allocation failed') }"
        body = response.text().replace("unpackWeights(", f"({full})(")
        route.fulfill(response=response, body=body)

    page.route("**/page/worker.js", answer)
    page.goto(address)
    assert "There is too little memory for this generator" in error_of(page)


def test_no_graphics_card_where_one_is_asked_for(page: Any, address: str) -> None:
    page.goto(f"{address}?backend=webgpu")
    assert "no WebGPU adapter" in error_of(page)


def test_server_sends_what_threads_need(
    site_of: Callable[[Path], Path], page: Any, address: str
) -> None:
    page.goto(address)
    assert page.evaluate("crossOriginIsolated")
    assert callable(make_server)
