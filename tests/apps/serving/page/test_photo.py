"""A photo in the place of a seed: chosen, inverted, moved, improved, mixed, walked to, kept."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stylert
from stylert.apps.demo import SOURCE
from stylert.apps.serving.handles import write_handle
from stylert.runtime.generator import Generator
from stylert.runtime.images import encode_image

Started = Callable[..., Any]


@pytest.fixture(scope="module")
def demo() -> Iterator[Generator]:
    with stylert.open(SOURCE, backend="onnxruntime", provider="cpu") as generator:
        yield generator


@pytest.fixture(scope="module")
def known(demo: Generator) -> np.ndarray:
    """A picture of the network's own, [64, 64, 3]."""
    return demo.generate(70, class_idx=2)[0]


@pytest.fixture
def with_photo(started: Started, known: np.ndarray, tmp_path: Path) -> Any:
    """The page with a photo, which has bars at its sides."""
    photo = tmp_path / "photo.png"
    Image.fromarray(np.pad(known, ((0, 0), (9, 9), (0, 0)))).save(photo)
    shown = started("seed=3&class_idx=0", of=SOURCE)
    shown.page.set_input_files("#photo-file", photo)
    shown.page.wait_for_selector("#photo-count:has-text('in place of the seed')")
    return shown


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.square(a.astype(float) - b).mean())


def shows(shown: Any, demo: Generator, ws: np.ndarray) -> bool:
    """Whether it shows what these styles [1, num_ws, w_dim] draw."""
    return bool(np.abs(shown.settled().astype(int) - demo.synthesize(ws)[0]).max() <= 2)


def test_a_photo_takes_the_place_of_the_seed(
    with_photo: Any, demo: Generator, known: np.ndarray
) -> None:
    shown = with_photo
    ws = demo.invert([known])
    assert shows(shown, demo, ws)
    assert re.search(r"photo \d", shown.page.get_attribute("#picture", "alt"))
    moved = demo.edit(ws, "sefa_all_0", 3)
    shown.slide("sefa_all_0", 3)
    assert shows(shown, demo, moved)
    layers = list(demo.layer_groups["coarse"])
    moved[:, layers] = demo.edit(
        demo.styles([1], class_idx=0, truncation_psi=0.7), "sefa_all_0", 3
    )[:, layers]
    shown.page.click("#layers-coarse")
    assert shows(shown, demo, moved)
    shown.page.click("#seed-next")
    shown.settled()
    assert shown.text("photo-count") == ""
    assert "seed 4" in shown.page.get_attribute("#picture", "alt")
    shown.page.set_input_files("#photo-file", Path(__file__))
    shown.page.wait_for_selector("#error:has-text('no picture that the browser knows')")


def test_a_photo_is_improved(with_photo: Any, demo: Generator, known: np.ndarray) -> None:
    shown = with_photo
    shown.page.click("#photo-improve")
    shown.page.wait_for_selector("#photo-improve:has-text('Stop')")
    progress = "document.getElementById('photo-progress').textContent"
    # The first steps are so small that none may be better than the start.
    shown.page.wait_for_function(f"() => /^projecting [1-9][0-9]/.test({progress})")
    shown.page.wait_for_selector("#photo-now", state="visible")
    middle = "canvas => [...canvas.getContext('2d').getImageData(96, 96, 1, 1).data]"
    now = shown.page.locator("#photo-now").evaluate(middle)
    assert now[3] == 255  # opaque: something is drawn
    assert np.abs(np.array(now[:3]) - known[32, 32]).max() < 100
    shown.page.click("#photo-improve")
    shown.page.wait_for_selector("#photo-improve:has-text('Improve')")
    assert shown.page.is_hidden("#photo-now")
    found = demo.synthesize(demo.invert([known]))[0]
    assert distance(shown.settled(), known) < distance(found, known)


def test_a_photo_is_the_other_seed_and_a_keyframe(
    with_photo: Any,
    demo: Generator,
    known: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown, page = with_photo, with_photo.page
    of_photo = demo.invert([known])
    of_seed = demo.styles([3], class_idx=0, truncation_psi=0.7)
    page.keyboard.press("a")
    with page.expect_download() as download:
        page.click("#photo-save")
    file = download.value.suggested_filename
    assert re.fullmatch(r"photo-\d+\.npz", file)
    download.value.save_as(tmp_path / file)
    np.testing.assert_allclose(demo.load_ws(tmp_path / file), of_photo, atol=1e-4)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stylert, "open", lambda bundle: nullcontext(demo))

    def copied() -> np.ndarray:
        names: dict[str, Any] = {}
        exec(shown.text("code"), names)
        return np.asarray(names["image"]).astype(int)

    page.click("#mix-photo")
    page.click("#photo-clear")
    page.click("#layers-coarse")
    layers = list(demo.layer_groups["coarse"])
    mixed = of_seed.copy()
    mixed[:, layers] = of_photo[:, layers]
    assert shows(shown, demo, mixed)
    assert np.abs(copied() - shown.pixels()).max() <= 2
    page.wait_for_function("() => location.hash.includes('layers=')")
    page.reload()
    assert shows(shown, demo, mixed)
    page.click("#mix_seed-random")  # a seed again
    shown.settled()
    assert page.get_attribute("#mix-photo", "aria-pressed") == "false"
    page.click("#layers-coarse")
    page.keyboard.press("a")
    assert page.get_by_role("button", name=re.compile("Keyframe 1: photo")).count() == 1
    shown.slide("t", 0.25)
    keyframes = np.concatenate([of_photo, of_seed])
    assert shows(shown, demo, demo.styles_between(keyframes, 0.25))
    assert np.abs(copied() - shown.pixels()).max() <= 2
    page.wait_for_function("() => location.hash.includes('t=0.25')")
    page.reload()
    assert shows(shown, demo, demo.styles_between(keyframes, 0.25))


def test_the_newest_photo_stays_over_a_reload(with_photo: Any) -> None:
    page = with_photo.page
    page.wait_for_function("() => location.hash.includes('photo=')")
    page.reload()
    with_photo.settled()
    assert page.is_enabled("#photo-improve")
    assert page.is_hidden("#photo-lost")
    page.click("#photo-paint")
    src = "() => document.getElementById('paint-photo').src.slice(0, 22)"
    assert page.evaluate(src) == "data:image/png;base64,"
    page.click("#paint-close")
    keys = "Object.keys(sessionStorage).filter((key) => key.endsWith(' picture'))"
    assert page.evaluate(f"() => {keys}.map((key) => sessionStorage.removeItem(key)).length") == 1
    page.reload()  # as where it was too large
    with_photo.settled()
    assert page.is_visible("#photo-lost")
    assert page.is_hidden("#photo-improve")
    assert page.is_hidden("#photo-paint")
    assert page.is_enabled("#photo-save")


def test_a_face_is_cut_out_where_the_service_can(
    started: Started, known: np.ndarray, tmp_path: Path, demo: Generator
) -> None:
    shown = started("seed=3&class_idx=0", of=SOURCE)
    page = shown.page
    assert page.is_hidden("#photo-align")  # the tests have no weights that find faces
    asked: list[dict[str, Any]] = []
    crop = base64.b64encode(encode_image(known, "PNG")).decode()

    def can(route: Any) -> None:
        answer = route.fetch()
        info = answer.json()
        info["photos"]["align"] = True
        route.fulfill(response=answer, json=info)

    def invert(route: Any) -> None:
        asked.append(route.request.post_data_json)
        route.fulfill(json={"w": write_handle(demo.invert([known])[0]), "picture": crop})

    page.route("**/info", can)
    page.route("**/invert", invert)
    page.reload()
    shown.settled()
    Image.fromarray(np.zeros((30, 90, 3), np.uint8)).save(tmp_path / "wide.png")
    page.check("#photo-align")
    page.set_input_files("#photo-file", tmp_path / "wide.png")
    page.wait_for_selector("#photo-count:has-text('in place of the seed')")
    assert asked[0]["align"] is True
    with Image.open(io.BytesIO(base64.b64decode(asked[0]["picture"]))) as sent:
        assert (sent.format, sent.size) == ("JPEG", (90, 30))  # all of it
    assert shows(shown, demo, demo.invert([known]))
    page.click("#photo-paint")
    assert page.get_attribute("#paint-photo", "src").endswith(crop)
    page.click("#paint-close")
    page.uncheck("#photo-align")
    page.set_input_files("#photo-file", tmp_path / "wide.png")
    while len(asked) < 2:
        page.wait_for_timeout(5)
    assert "align" not in asked[1]
    page.unroute_all()
    page.reload()


def test_a_photo_is_taken_by_the_camera(started: Started) -> None:
    shown = started("", of=SOURCE)
    page = shown.page
    page.evaluate(
        """() => {
            const canvas = document.createElement("canvas");
            canvas.getContext("2d").fillRect(0, 0, 9, 9);
            window.stream = canvas.captureStream();
            navigator.mediaDevices.getUserMedia = async () => window.stream;
        }"""
    )
    before = shown.settled()
    page.click("#photo-camera")
    page.wait_for_function("() => document.getElementById('camera-video').videoWidth > 0")
    page.click("#camera-take")
    page.wait_for_selector("#camera", state="hidden")
    page.wait_for_selector("#photo-count:has-text('in place of the seed')")
    assert (shown.settled() != before).any()
    assert page.evaluate("() => window.stream.getTracks()[0].readyState") == "ended"
    page.evaluate("() => (navigator.mediaDevices.getUserMedia = () => Promise.reject())")
    page.click("#photo-camera")
    page.wait_for_selector("#error:has-text('The camera cannot be used')")
    assert page.is_hidden("#camera")


def test_there_is_no_photo_without_an_encoder_and_no_words_without_a_pair(
    started: Started,
) -> None:
    page = started("").page
    assert page.is_hidden("#photo-panel")
    assert page.is_hidden("#words-panel")
