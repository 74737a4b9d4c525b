"""POST /video: the frames of a walk, encoded; limits, what is missing, and who gives up."""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageSequence

from stylert.apps.serving.application import create_app
from stylert.apps.serving.encoding import list_formats
from stylert.apps.serving.metrics import Metrics
from stylert.apps.serving.requests import VideoRequest, writable_videos
from stylert.apps.serving.service import Overloaded, Service, TooSlow
from stylert.apps.serving.settings import Settings
from stylert.apps.serving.videos import Videos
from stylert.runtime.generator import Generator

WALK = {"seeds": [1, 2, 3], "frames": 4, "loop": True}


def frames_of(video: bytes) -> np.ndarray:
    """All frames [T, H, W, 3] of an mp4 or webm."""
    import av

    with av.open(io.BytesIO(video)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


@pytest.mark.parametrize(("format", "kind"), [("mp4", "video/mp4"), ("webm", "video/webm")])
def test_a_walk_becomes_a_video(
    client: TestClient, generator: Generator, format: str, kind: str
) -> None:
    answer = client.post("/video", json={"walk": WALK, "format": format, "fps": 12})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == kind
    drawn = np.stack(list(generator.interpolate([1, 2, 3], frames=4, loop=True)))
    shown = frames_of(answer.content)
    assert shown.shape == drawn.shape == (12, 32, 32, 3)
    assert np.abs(shown.astype(int) - drawn).mean() < 12  # colours at half the resolution, and loss
    others = np.roll(drawn, 1, axis=0)
    assert np.abs(shown.astype(int) - drawn).mean() < np.abs(shown.astype(int) - others).mean()


@pytest.mark.parametrize("format", ["webp", "gif"])
def test_a_walk_becomes_an_animation(client: TestClient, format: str) -> None:
    answer = client.post("/video", json={"walk": WALK, "format": format, "fps": 10})
    assert answer.headers["content-type"] == f"image/{format}"
    with Image.open(io.BytesIO(answer.content)) as picture:
        frames = [frame.copy() for frame in ImageSequence.Iterator(picture)]  # loaded
        times = [frame.info["duration"] for frame in frames]
    assert times == [100] * 12


def test_its_frames_are_those_of_the_walk(client: TestClient, generator: Generator) -> None:
    """Mixed, moved and truncated, as /interpolate draws them."""
    walk = {"seeds": [1, 2], "truncation_psi": 0.5, "mix_seeds": 3, "mix_layers": "coarse"}
    walk["directions"] = {"sefa_all_0": 3}
    body = {"walk": {**walk, "frames": 3}, "format": "webp"}
    answer = client.post("/video", json=body)
    with Image.open(io.BytesIO(answer.content)) as picture:
        shown = np.stack([np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(picture)])
    drawn = [
        np.asarray(
            Image.open(io.BytesIO(client.post("/interpolate", json={**walk, "t": t}).content))
        )
        for t in (0, 1 / 3, 2 / 3, 1)
    ]
    assert np.abs(shown.astype(int) - np.stack(drawn)).mean() < 12


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"walk": {"seeds": [1, 2], "t": 0.5}}, "expected frames"),
        ({"walk": {"seeds": [1, 2], "t": 0.5, "frames": 2}}, "expected frames"),
        ({"walk": {"seeds": [1, 2], "frames": 1800}}, "got 1801 frames, expected up to 1800"),
        ({"walk": WALK | {"output": "img"}}, "expected 'image'"),
        ({"walk": WALK | {"directions": {"nose": 1}}}, "nose"),
        ({"walk": WALK | {"mix_seeds": [1, 2], "mix_layers": "all"}}, "expected one for all"),
        ({"walk": WALK, "fps": 0}, "fps"),
        ({"walk": WALK, "format": "avi"}, "format"),
        ({"walk": WALK, "seeds": [1]}, "seeds"),
        ({}, "walk"),
    ],
)
def test_what_does_not_fit_is_said(client: TestClient, body: Any, words: str) -> None:
    answer = client.post("/video", json={"format": "webp"} | body)
    assert answer.status_code == 422
    assert words in answer.json()["error"]


def test_what_cannot_be_a_frame_has_no_videos() -> None:
    assert list_formats(2) == ["png", "webp", "npy"]
    assert list_formats(6) == ["npy"]
    assert writable_videos(2) == writable_videos(6) == []
    assert list_formats(3) == ["png", "jpeg", "webp", "npy"]


def test_without_pyav_it_says_what_to_install(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/info").json()["videos"] == ["mp4", "webm", "webp", "gif"]
    monkeypatch.setitem(sys.modules, "av", None)
    assert client.get("/info").json()["videos"] == ["webp", "gif"]
    answer = client.post("/video", json={"walk": WALK})
    assert answer.status_code == 501
    assert "PyAV" in answer.json()["error"]
    assert "pip install" in answer.json()["error"]


def test_an_animation_must_fit_into_memory(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylert.apps.serving.videos._MOST_HELD", 11 * 32 * 32 * 3)
    answer = client.post("/video", json={"walk": WALK, "format": "gif"})
    assert "got 12 frames, expected up to 11 for gif" in answer.json()["error"]


def test_other_requests_go_first(generator: Generator) -> None:
    """A video waits where the service is full, and is drawn all the same."""
    request = VideoRequest.model_validate({"walk": WALK, "format": "webp"})

    async def draw() -> bytes:
        service = Service(generator, Settings(max_queue=2, max_images=2), Metrics())
        try:
            room = service._let_in(2)
            room.__enter__()
            video = asyncio.create_task(Videos(service).draw(request))
            await asyncio.sleep(0.2)
            assert not video.done()
            room.__exit__(None, None, None)
            return (await video)[0]
        finally:
            service.close()

    with Image.open(io.BytesIO(asyncio.run(draw()))) as picture:
        assert picture.n_frames == 12  # type: ignore[attr-defined]


async def until_closed(service: Service) -> None:
    """A frame that was cancelled is let out in one of the loop's next turns."""
    while service._open:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("end", ["cancelled", "too slow"])
def test_what_nobody_waits_for_is_not_drawn(
    generator: Generator, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    request = VideoRequest.model_validate({"walk": {"seeds": [1, 2], "frames": 1799}})
    settings = Settings(video_seconds=0.3 if end == "too slow" else 600)

    async def give_up() -> float:
        metrics = Metrics()
        service = Service(generator, settings, metrics)
        videos = Videos(service)
        video = asyncio.create_task(videos.draw(request))
        if end == "cancelled":
            await asyncio.sleep(0.3)
            video.cancel()
        with pytest.raises((asyncio.CancelledError, TooSlow)):
            await video
        await asyncio.get_running_loop().shutdown_default_executor()  # the encoder's thread ends
        assert videos._running == 0
        await asyncio.wait_for(until_closed(service), 60)
        service.close()
        return float(metrics.images._value.get())

    assert 0 < asyncio.run(give_up()) < 1800
    assert not list(tmp_path.iterdir())


def test_few_videos_are_drawn_at_a_time(generator: Generator) -> None:
    request = VideoRequest.model_validate({"walk": {"seeds": [1, 2], "frames": 60}})

    async def draw_three() -> list[Any]:
        service = Service(generator, Settings(), Metrics())
        videos = Videos(service)
        work = [videos.draw(request) for _ in range(3)]
        found = await asyncio.gather(*work, return_exceptions=True)
        service.close()
        return found

    first, second, third = asyncio.run(draw_three())
    assert first == second
    assert isinstance(third, Overloaded)


def test_a_video_is_counted(generator: Generator) -> None:
    with TestClient(create_app(generator)) as client:
        client.post("/video", json={"walk": WALK, "format": "webp"})
        text = client.get("/metrics").text
    assert 'stylert_requests_total{method="POST",route="/video",status="200"} 1.0' in text
    assert "stylert_images_total 12.0" in text
