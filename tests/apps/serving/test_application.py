"""The routes: the pixels are the generator's, formats and layouts, limits, errors, the page."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from stylert.apps.serving.admission import find_token
from stylert.apps.serving.application import create_app
from stylert.apps.serving.photo_routes import PHOTO_ROUTES
from stylert.apps.serving.settings import Settings
from stylert.runtime.errors import EngineError, InvalidInput
from stylert.runtime.generator import Generator


def array(answer: Any) -> np.ndarray:
    """The array of an npy answer."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-npy"
    return np.asarray(np.load(io.BytesIO(answer.content), allow_pickle=False))


def pixels(answer: Any) -> np.ndarray:
    """The pixels of an image answer: [H, W, C]."""
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def error(answer: Any, status: int) -> str:
    """The message of an error answer, which is one line of JSON."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    (message,) = answer.json().values()
    assert set(answer.json()) == {"error"}
    assert "\n" not in message
    assert message
    return str(message)


def drawn(client: TestClient, route: str, **body: Any) -> np.ndarray:
    return array(client.post(route, json={**body, "format": "npy"}))


def within_a_level(expected: np.ndarray, got: np.ndarray) -> bool:
    """Equal but for rounding: batches of another size round differently."""
    assert expected.shape == got.shape
    return bool(np.abs(expected.astype(int) - got.astype(int)).max() <= 1)


# --- The pixels.


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"truncation_psi": 0.5},
        {"truncation_psi": 0.5, "truncation_cutoff": 3},
        {"truncation_psi": {"coarse": 0.2, "middle": 0.7}},
        {"truncation_psi": [0.1, 0.9, -0.4]},
        {"noise_mode": "none"},
        {"noise_mode": "seeded"},
        {"noise_mode": "seeded", "noise_seed": 7},
        {"noise_mode": "seeded", "noise_seed": [7, 8, 9]},
    ],
)
def test_generate_draws_what_the_generator_draws(
    client: TestClient, generator: Generator, options: dict[str, Any]
) -> None:
    expected = generator.generate([1, 2, 3], **options)
    assert within_a_level(expected, drawn(client, "/generate", seeds=[1, 2, 3], **options))


def test_generate_gives_the_float_output_as_npy(client: TestClient, generator: Generator) -> None:
    got = drawn(client, "/generate", seeds=5, output="img")
    np.testing.assert_allclose(got, generator.generate(5, output="img"), atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"class_idx": 2}, {"class_idx": [0, 4]}, {"labels": {"1": 3, "2": 1}}, {"labels": [0.2] * 5}],
)
def test_classes_are_those_of_the_generator(
    conditional_client: TestClient, conditional: Generator, options: dict[str, Any]
) -> None:
    got = drawn(conditional_client, "/generate", seeds=[1, 2], **options)
    if isinstance(options.get("labels"), dict):
        options = {"labels": {int(key): weight for key, weight in options["labels"].items()}}
    assert within_a_level(conditional.generate([1, 2], **options), got)


def test_stylegan3_moves(bundle_of: Callable[[str], Path]) -> None:
    turned = {"translate": [0.1, -0.2], "rotate": 30}
    each = {"translate": [[0.1, 0], [0, 0.2]]}
    matrix = {"transform": [[1, 0, 0.1], [0, 1, 0], [0, 0, 1]]}
    with (
        Generator.open(bundle_of("sg3-t-64"), provider="cpu") as generator,
        TestClient(create_app(generator)) as client,
    ):
        assert client.get("/info").json()["has_transform"]
        for options in (turned, each, matrix):
            got = drawn(client, "/generate", seeds=[1, 2], **options)
            assert within_a_level(generator.generate([1, 2], **options), got)


def test_mix_draws_what_the_generator_draws(client: TestClient, generator: Generator) -> None:
    options: dict[str, Any] = {"layers": "middle", "truncation_psi": 0.7}
    expected = generator.mix([1, 2], [3, 4, 5], **options)
    got = drawn(client, "/mix", rows=[1, 2], columns=[3, 4, 5], **options)
    assert within_a_level(expected.reshape(got.shape), got)
    grid = pixels(client.post("/mix", json={"rows": [1, 2], "columns": [3, 4, 5], **options}))
    assert grid.shape == (64, 96, 3)
    assert within_a_level(expected[1, 2], grid[32:, 64:])


@pytest.mark.parametrize("curve", ["cubic", "linear", "slerp"])
@pytest.mark.parametrize("loop", [False, True])
def test_interpolate_draws_a_frame_and_all_of_them(
    client: TestClient, generator: Generator, curve: Any, loop: bool
) -> None:
    body: dict[str, Any] = {"curve": curve, "loop": loop, "truncation_psi": 0.6}
    frames = np.stack(list(generator.interpolate([1, 2, 3], frames=4, **body)))
    assert within_a_level(frames, drawn(client, "/interpolate", seeds=[1, 2, 3], frames=4, **body))
    segments = 3 if loop else 2
    one = drawn(client, "/interpolate", seeds=[1, 2, 3], t=5 / (4 * segments), **body)
    assert within_a_level(frames[5:6], one)


def test_interpolate_between_classes(
    conditional_client: TestClient, conditional: Generator
) -> None:
    for curve in ("linear", "slerp"):
        body: dict[str, Any] = {"class_idx": [0, 3], "curve": curve}
        frames = list(conditional.interpolate([1, 1], frames=2, **body))
        one = drawn(conditional_client, "/interpolate", seeds=[1, 1], t=0.5, **body)
        assert within_a_level(frames[1], one[0])


def test_frames_with_seeded_noise(client: TestClient, generator: Generator) -> None:
    options: dict[str, Any] = {"frames": 10, "noise_mode": "seeded", "noise_seed": 3}
    frames = np.stack(list(generator.interpolate([1, 2], **options)))
    assert within_a_level(frames, drawn(client, "/interpolate", seeds=[1, 2], **options))


def test_edit_draws_what_the_generator_draws(client: TestClient, generator: Generator) -> None:
    ws = generator.styles([1], truncation_psi=0.7)
    strip = generator.edit(ws, "sefa_all_0", [-3, 0, 3], layers="coarse")
    body: dict[str, Any] = {"seeds": 1, "truncation_psi": 0.7}
    one: dict[str, Any] = {"direction": "sefa_all_0", "strength": [-3, 0, 3], "layers": "coarse"}
    assert within_a_level(generator.synthesize(strip), drawn(client, "/edit", **body, **one))
    other = generator.styles([2], truncation_psi=0.7)
    ws[:, [3, 4]] = other[:, [3, 4]]
    for direction, strength in {"sefa_coarse_0": 2, "sefa_middle_1": -1.5}.items():
        ws = generator.edit(ws, direction, strength)
    several = {"directions": {"sefa_coarse_0": 2, "sefa_middle_1": -1.5}}
    mixed = {"mix_seeds": 2, "mix_layers": "3,4"}
    got = drawn(client, "/edit", **body, **several, **mixed)
    assert within_a_level(generator.synthesize(ws), got)


def test_walks_are_mixed_and_moved_like_edits(client: TestClient, generator: Generator) -> None:
    ws = generator.styles_between([1, 2, 3], [0, 0.5, 1, 1.5, 2], truncation_psi=0.7)
    ws[:, :3] = generator.styles([9], truncation_psi=0.7)[:, :3]
    ws = generator.edit(ws, "sefa_all_0", 2, layers="middle")
    body: dict[str, Any] = {"seeds": [1, 2, 3], "truncation_psi": 0.7, "layers": "middle"}
    body |= {"mix_seeds": 9, "mix_layers": "coarse", "directions": {"sefa_all_0": 2}}
    expected = generator.synthesize(ws)
    assert within_a_level(expected, drawn(client, "/interpolate", frames=2, **body))
    assert within_a_level(expected[3:4], drawn(client, "/interpolate", t=0.75, **body))


def test_components_are_those_of_pca(client: TestClient, generator: Generator) -> None:
    components = generator.pca()
    assert client.get("/info").json()["components"] == [f"pca:{i}" for i in range(20)]
    ws = generator.edit(generator.styles(1), components.direction(3), 2)
    ws = generator.edit(ws, components.direction(0), -1)
    got = drawn(client, "/edit", seeds=1, directions={"pca:3": 2, "pca:0": -1})
    np.testing.assert_array_equal(generator.synthesize(ws), got)
    strip = generator.edit(generator.styles(1), components.direction(0), [-2, 0, 2])
    got = drawn(client, "/edit", seeds=1, direction="pca:0", strength=[-2, 0, 2])
    assert within_a_level(generator.synthesize(strip), got)


def test_components_are_of_the_class(
    conditional_client: TestClient, conditional: Generator
) -> None:
    for class_idx in (0, 3, 0):
        direction = conditional.pca(class_idx=class_idx).direction(0)
        ws = conditional.edit(conditional.styles(1, class_idx=class_idx), direction, 3)
        body: dict[str, Any] = {"seeds": 1, "directions": {"pca:0": 3}}
        got = drawn(conditional_client, "/edit", class_idx=class_idx, **body)
        np.testing.assert_array_equal(conditional.synthesize(ws), got)
    for wrong in ({"class_idx": [0, 1]}, {"labels": [0.2] * 5}):
        body = {"seeds": [1, 2], "directions": {"pca:0": 3}, **wrong}
        assert "class_idx" in error(conditional_client.post("/edit", json=body), 422)


# --- Formats and layouts.


def test_an_image_is_a_png_by_default(client: TestClient, generator: Generator) -> None:
    answer = client.post("/generate", json={"seeds": [1]})
    assert answer.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(pixels(answer), generator.generate(1)[0])


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_the_format_is_as_the_body_or_the_header_asks(client: TestClient, format: str) -> None:
    asked = client.post("/generate", json={"seeds": [1], "format": format})
    accept = {"accept": f"text/html, image/{format};q=0.9, */*;q=0.1"}
    accepted = client.post("/generate", json={"seeds": [1]}, headers=accept)
    assert asked.headers["content-type"] == f"image/{format}"
    assert Image.open(io.BytesIO(asked.content)).format == format.upper()
    assert asked.content == accepted.content


def test_the_body_decides_over_the_header(client: TestClient) -> None:
    accept = {"accept": "text/html"}
    answer = client.post("/generate", json={"seeds": [1], "format": "jpeg"}, headers=accept)
    assert answer.headers["content-type"] == "image/jpeg"
    assert "Accept" in error(client.post("/generate", json={"seeds": [1]}, headers=accept), 406)


def test_who_posts_json_gets_a_picture(client: TestClient) -> None:
    asks_for_json = {"accept": "application/json"}  # curl --json, and many clients by themselves
    answer = client.post("/generate", json={"seeds": [1]}, headers=asks_for_json)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")


def test_several_images_are_a_grid_or_a_zip_file(client: TestClient, generator: Generator) -> None:
    expected = generator.generate([1, 2, 3])
    grid = pixels(client.post("/generate", json={"seeds": [1, 2, 3]}))
    assert grid.shape == (64, 64, 3)
    assert within_a_level(expected[2], grid[32:, :32])
    answers = [
        client.post("/generate", json={"seeds": [1, 2, 3], "layout": "zip"}),
        client.post("/generate", json={"seeds": [1, 2, 3]}, headers={"accept": "application/zip"}),
    ]
    assert answers[0].headers["content-type"] == "application/zip"
    assert answers[0].content == answers[1].content
    with zipfile.ZipFile(io.BytesIO(answers[0].content)) as archive:
        assert archive.namelist() == ["0000.png", "0001.png", "0002.png"]
        for name, image in zip(archive.namelist(), expected, strict=True):
            assert within_a_level(image, np.asarray(Image.open(io.BytesIO(archive.read(name)))))


def test_quality_makes_smaller_files(client: TestClient) -> None:
    body = {"seeds": [1], "format": "jpeg"}
    sizes = [
        len(client.post("/generate", json={**body, "quality": quality}).content)
        for quality in (10, 95)
    ]
    assert sizes[0] < sizes[1]


# --- What is refused.


@pytest.mark.parametrize(
    ("route", "body", "word"),
    [
        ("/generate", {}, "seeds"),
        ("/generate", {"seeds": []}, "seeds"),
        ("/generate", {"seeds": ["1"]}, "seeds"),
        ("/generate", {"seeds": [1.0]}, "seeds"),
        ("/generate", {"seeds": True}, "seeds"),
        ("/generate", {"seeds": -1}, "seeds"),
        ("/generate", {"seeds": 2**32}, "seeds"),
        ("/generate", {"seeds": 1, "seed": 1}, "seed"),
        ("/generate", {"seeds": 1, "truncation_psi": "0.7"}, "truncation_psi"),
        ("/generate", {"seeds": 1, "truncation_psi": [0.1, 0.2]}, "truncation_psi"),
        ("/generate", {"seeds": 1, "truncation_psi": {"rough": 1}}, "layers"),
        ("/generate", {"seeds": 1, "truncation_cutoff": 99}, "truncation_cutoff"),
        ("/generate", {"seeds": 1, "class_idx": 0}, "class_idx: got 0, expected null: this"),
        ("/generate", {"seeds": 1, "labels": {"a": 1}}, "labels"),
        ("/generate", {"seeds": 1, "noise_mode": "loud"}, "noise_mode"),
        ("/generate", {"seeds": 1, "noise_seed": 1}, "noise_seed"),
        ("/generate", {"seeds": [1, 2, 3], "noise_mode": "seeded", "noise_seed": [1, 2]}, "noise_"),
        ("/generate", {"seeds": 1, "rotate": 3}, "rotate: this generator cannot move"),
        ("/generate", {"seeds": 1, "format": "gif"}, "format"),
        ("/generate", {"seeds": 1, "quality": 50}, "quality"),
        ("/generate", {"seeds": [1, 2], "layout": "image"}, "layout"),
        ("/generate", {"seeds": 1, "output": "img"}, "output"),
        ("/generate", {"seeds": 1, "output": "img", "format": "npy", "layout": "grid"}, "output"),
        ("/generate", {"seeds": list(range(65))}, "65 images"),
        ("/mix", {"rows": 1, "columns": 2, "layers": "nose"}, "layers"),
        ("/mix", {"rows": 1, "columns": 2, "layers": []}, "layers"),
        ("/mix", {"rows": list(range(9)), "columns": list(range(9)), "layers": 0}, "81 images"),
        ("/mix", {"rows": 1, "columns": 2, "layers": 0, "noise_seed": [1, 2]}, "noise_seed"),
        ("/interpolate", {"seeds": [1], "t": 0}, "seeds"),
        ("/interpolate", {"seeds": [1, 2]}, "t, frames"),
        ("/interpolate", {"seeds": [1, 2], "t": 0.5, "frames": 3}, "t, frames"),
        ("/interpolate", {"seeds": [1, 2], "t": 1.5}, "t: "),
        ("/interpolate", {"seeds": [1, 2], "frames": 10**30}, "images"),
        ("/edit", {"seeds": 1}, "direction"),
        ("/edit", {"seeds": 1, "direction": "nose", "strength": 1}, "direction"),
        ("/edit", {"seeds": 1, "direction": "sefa_all_0"}, "strength"),
        ("/edit", {"seeds": 1, "directions": {"a": 1}, "direction": "b", "strength": 1}, "direct"),
        ("/edit", {"seeds": 1, "directions": {"pca:20": 1}}, "up to 'pca:19'"),
        ("/edit", {"seeds": 1, "directions": {"pca:-1": 1}}, "direction"),
        ("/edit", {"seeds": 1, "directions": {}, "mix_seeds": 2}, "mix_layers"),
        ("/interpolate", {"seeds": [1, 2], "t": 0, "mix_layers": 2}, "mix_seeds"),
        ("/interpolate", {"seeds": [1, 2], "t": 0, "directions": {"nose": 1}}, "direction"),
        (
            "/edit",
            {"seeds": [1, 2], "directions": {}, "mix_seeds": [1] * 3, "mix_layers": 0},
            "mix",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    client: TestClient, route: str, body: dict[str, Any], word: str
) -> None:
    assert word in error(client.post(route, json=body), 422)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"seeds": ' + b"9" * 10_000 + b"}",
        b'{"seeds": NaN}',
        b'{"seeds": [1], "truncation_psi": Infinity}',
        b'{"seeds": [1], "\\ud800": 1}',
        b'{"seeds": 1, "noise_mode": "\\ud800"}',
        b'{"seeds": [1], "truncation_psi": {"\\ud800": 1}}',
    ],
)
def test_a_body_that_is_no_request_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/generate", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert error(answer, answer.status_code)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/jsonp", "application/x-www-form-urlencoded", "json", ""]
)
def test_a_body_that_does_not_say_it_is_json_is_refused(client: TestClient, kind: str) -> None:
    """Web pages of others may send these without asking."""
    headers = {"content-type": kind} if kind else {}
    answer = client.post("/generate", content=json.dumps({"seeds": [1]}), headers=headers)
    message = error(answer, 415)
    assert "got " + (repr(kind) if kind else "none") in message
    assert "'Content-Type: application/json'" in message


@pytest.mark.parametrize(
    "kind", ["application/json", "APPLICATION/JSON; charset=utf-8", "application/vnd.a+json"]
)
def test_json_has_several_names(client: TestClient, kind: str) -> None:
    content = json.dumps({"seeds": [1]})
    answer = client.post("/generate", content=content, headers={"content-type": kind})
    assert answer.status_code == 200


def test_a_body_that_is_packed_is_refused(client: TestClient) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = client.post("/generate", content=gzip.compress(b'{"seeds": 1}'), headers=headers)
    assert "Content-Encoding: got 'gzip'" in error(answer, 415)
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ('{"seeds": 1, "seeds": 2}', "seeds"),
        ('{"seeds": 1, "truncation_psi": {"coarse": 0.5, "coarse": 1}}', "coarse"),
    ],
)
def test_what_is_in_a_body_twice_is_refused(client: TestClient, body: str, key: str) -> None:
    answer = client.post("/generate", content=body, headers={"content-type": "application/json"})
    assert error(answer, 422) == f"'{key}': got it twice in one object. Pass it once."


def test_fields_in_the_query_are_refused(client: TestClient) -> None:
    answer = client.post("/generate?truncation_psi=0.5", json={"seeds": 1})
    words = "query: got 'truncation_psi=0.5'. Pass fields in the body, as JSON."
    assert error(answer, 422) == words


@pytest.mark.parametrize("path", ["/generate/", "/info/", "/healthz/", "/jobs/x/"])
def test_no_path_leads_to_another_address(client: TestClient, path: str) -> None:
    """Behind a proxy, this service does not know its own."""
    for method in ("GET", "POST"):
        answer = client.request(method, path, json={"seeds": 1}, follow_redirects=False)
        assert error(answer, 404).startswith("path: got ")


def test_unknown_routes_and_methods_are_json_errors(client: TestClient) -> None:
    message = error(client.get("/nothing"), 404)
    assert "'/nothing'" in message
    assert "/openapi.json" in message
    answer = client.get("/generate")
    assert error(answer, 405) == "method: got 'GET' for '/generate', expected POST."
    assert answer.headers["allow"] == "POST"
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "BREW"):
        assert "expected GET" in error(client.request(method, "/healthz"), 405)


def test_head_is_answered_as_get_is(client: TestClient) -> None:
    for path in ("/", "/healthz", "/info", "/metrics", "/openapi.json", "/page/page.js"):
        assert client.head(path).status_code == 200, path
    assert client.head("/generate").status_code == 405
    assert client.head("/nothing").status_code == 404
    assert 'method="HEAD",route="/healthz",status="200"' in client.get("/metrics").text


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{}", "seeds: got none. Pass it."),
        ('{"seeds": 1, "seed": 2}', "seed: there is no such field; /openapi.json has all of them."),
        ('{"seeds": [1, -2]}', "seeds.1: got -2. Input should be greater than or equal to 0."),
        (
            '{"seeds": ["1"]}',
            "seeds.0: got '1'. Input should be an integer, or styles: 'w:...', as /invert gives.",
        ),
        (
            '{"seeds": []}',
            "seeds: got []. List should have at least 1 item after validation, not 0.",
        ),
        (
            '{"seeds": 1, "class_idx": ""}',
            "class_idx: got ''. String should have at least 1 character.",
        ),
        ("[1]", "body: got [1], expected a JSON object; /openapi.json has examples."),
        ("", "body: got none, expected a JSON object; /openapi.json has examples."),
    ],
)
def test_what_does_not_fit_is_told_with_what_would(
    client: TestClient, body: str, message: str
) -> None:
    headers = {"content-type": "application/json"}
    assert error(client.post("/generate", content=body, headers=headers), 422) == message


def test_what_is_no_json_is_told_with_what_would_be(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    for body in (b'{"seeds": 1', b"\xff\xfe\x00", b"[" * 100_000):
        message = error(client.post("/generate", content=body, headers=headers), 400)
        assert "expected a JSON object; /openapi.json has examples" in message


def test_who_asks_after_the_end_is_told(generator: Generator) -> None:
    app = create_app(generator)
    with TestClient(app):
        pass
    answer = TestClient(app).post("/generate", json={"seeds": [1]})
    assert "Ask again" in error(answer, 503)


def test_a_grid_has_a_largest_side(generator: Generator) -> None:
    with TestClient(create_app(generator, Settings(max_side=64))) as client:
        assert client.post("/generate", json={"seeds": [1, 2, 3, 4]}).status_code == 200
        body = {"seeds": [1, 2, 3, 4, 5]}
        assert "96 pixels" in error(client.post("/generate", json=body), 422)
        assert client.post("/generate", json={**body, "layout": "zip"}).status_code == 200


def test_a_request_takes_as_long_as_it_may(generator: Generator) -> None:
    with TestClient(create_app(generator, Settings(draw_seconds=0, batch_wait=0.05))) as client:
        assert "longer than 0 s" in error(client.post("/generate", json={"seeds": [1]}), 504)


def test_an_error_of_the_backend_is_told_and_the_service_lives_on(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Generator.open(bundle, provider="cpu") as opened, TestClient(create_app(opened)) as client:
        body = {"seeds": [1]}
        with monkeypatch.context() as broken, opened.lifetime.in_use() as session:
            broken.setattr(session, "run", failing(EngineError("The GPU is gone.")))
            assert error(client.post("/generate", json=body), 500) == "The GPU is gone."
        assert client.post("/generate", json=body).status_code == 200


def test_what_a_bug_says_stays_inside(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Generator.open(bundle, provider="cpu") as opened, TestClient(create_app(opened)) as client:
        with opened.lifetime.in_use() as session:
            monkeypatch.setattr(session, "run", failing(RuntimeError("secret path")))
        answer = client.post("/generate", json={"seeds": [1]})
        assert "secret" not in error(answer, 500)
        assert "secret path" in caplog.text  # with the traceback
        assert "content-security-policy" in answer.headers
        assert 'route="/generate",status="500"} 1.0' in client.get("/metrics").text


def failing(reason: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise reason

    return fail


# --- Who may ask.


def test_a_token_is_asked_for(generator: Generator) -> None:
    with TestClient(create_app(generator, Settings(token="s3cret"))) as client:
        for wrong in ({}, {"authorization": "Bearer s3cre"}, {"authorization": "Basic s3cret"}):
            answer = client.post("/generate", json={"seeds": [1]}, headers=wrong)
            assert "token" in error(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        right = {"authorization": "Bearer s3cret"}
        assert client.post("/generate", json={"seeds": [1]}, headers=right).status_code == 200
        for closed in ("/info", "/metrics", "/openapi.json", "/nothing", "/healthz/x"):
            assert client.get(closed).status_code == 401
        for open_ in ("/", "/page/page.js", "/healthz"):
            assert client.get(open_).status_code == 200


@pytest.mark.parametrize(
    ("token", "got"),
    [("", "an empty one"), (" ", "an empty one"), ("\t\n", "an empty one")]
    + [(token, "another") for token in ("a b", "é", "a\n")],
)
def test_a_token_that_no_header_holds_is_refused(token: str, got: str) -> None:
    with pytest.raises(InvalidInput, match=f"token: got {got}, expected"):
        Settings(token=token)


def test_the_token_is_the_one_given_or_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, refuses: Callable[..., Any]
) -> None:
    monkeypatch.delenv("STYLERT_TOKEN", raising=False)
    assert find_token(None) is None
    monkeypatch.setenv("STYLERT_TOKEN", "s3cret")
    assert find_token(None) == "s3cret"
    assert find_token("other") == "other"
    for empty in ("", " ", "\t"):
        monkeypatch.setenv("STYLERT_TOKEN", empty)
        with refuses("STYLERT_TOKEN: got an empty text", "unset it"):
            find_token(None)


def test_other_names_of_the_host_are_refused(generator: Generator) -> None:
    settings = Settings(hosts=("localhost", "[::1]"))
    with TestClient(create_app(generator, settings)) as client:
        for name in ("localhost", "localhost:80", "LOCALHOST", "[::1]:80"):
            assert client.get("/healthz", headers={"host": name}).status_code == 200
        for name in ("evil.example", "localhost.evil.example:80", "[::2]", ""):
            message = error(client.get("/healthz", headers={"host": name}), 421)
            assert message.endswith("expected a name of the service: localhost, [::1].")


def test_no_other_origin_is_let_in(client: TestClient) -> None:
    origin = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    assert client.options("/generate", headers=origin).status_code == 405
    answer = client.post("/generate", json={"seeds": [1]}, headers=origin)
    assert not [name for name in answer.headers if name.startswith("access-control")]


# --- What it tells.


def test_info_tells_what_a_page_needs(client: TestClient, generator: Generator) -> None:
    facts = client.get("/info").json()
    assert facts["family"] == "stylegan2"
    assert {name: facts[name] for name in vars(generator.spec)} == vars(generator.spec)
    assert facts["layers"] == {name: [*rows] for name, rows in generator.layer_groups.items()}
    assert facts["directions"] == [*generator.directions]
    assert facts["has_noise"]
    assert facts["noise_strength"] > 0
    assert facts["classes"] == []
    assert not facts["has_transform"]
    assert facts["limits"]["max_images"] == 64


def test_health(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_metrics_count_requests_and_images(generator: Generator) -> None:
    with TestClient(create_app(generator)) as client:
        client.post("/generate", json={"seeds": [1, 2, 3]})
        client.post("/generate", json={"seeds": []})
        client.get("/some/thing/else")
        text = client.get("/metrics").text
    assert 'stylert_requests_total{method="POST",route="/generate",status="200"} 1.0' in text
    assert 'stylert_requests_total{method="POST",route="/generate",status="422"} 1.0' in text
    assert 'stylert_requests_total{method="GET",route="other",status="404"} 1.0' in text
    assert "stylert_images_total 3.0" in text
    assert 'stylert_batch_size_sum{call="mapping+synthesis"} 3.0' in text
    assert 'stylert_request_seconds_count{route="/generate"} 2.0' in text
    assert "stylert_queue_depth 0.0" in text
    assert "stylert_images_open 0.0" in text


def test_the_examples_of_openapi_work(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    elsewhere = (*PHOTO_ROUTES, "/search")  # they need an encoder, a gradient, a pair
    tried = 0
    for route, methods in schema["paths"].items():
        if "post" in methods and route not in elsewhere:
            reference = methods["post"]["requestBody"]["content"]["application/json"]["schema"]
            name = reference["$ref"].rpartition("/")[2]
            for example in schema["components"]["schemas"][name]["examples"]:
                answer = client.post(route, json=example)
                assert answer.status_code == 200, (route, example, answer.text)
                tried += 1
    assert tried >= 8


def test_the_page_comes_with_its_types_and_a_strict_policy(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    types = {"page.js": "text/javascript; charset=utf-8", "page.css": "text/css; charset=utf-8"}
    for name, kind in types.items():
        assert client.get(f"/page/{name}").headers["content-type"] == kind
    linked = re.findall(r'(?:src|href)="(page/[^"]+)"', page.text)
    assert linked
    for path in linked:
        assert client.get(f"/{path}").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/page/../settings.py", "/page/%2e%2e%2fsettings.py", "/page/", "/page/x.js", "/page/."],
)
def test_the_page_has_no_other_files(client: TestClient, path: str) -> None:
    assert error(client.get(path), 404)


def test_an_application_of_a_path_opens_and_closes_its_generator(bundle: Path) -> None:
    app = create_app(bundle)
    with TestClient(app) as client:
        assert client.post("/generate", json={"seeds": [1]}).status_code == 200
    assert "closed" in repr(app.state.service.generator)


def test_without_encoder_and_gradient_it_says_what_to_do(client: TestClient) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG")
    body = {"picture": base64.b64encode(file.getvalue()).decode()}
    assert "stylert encoder" in error(client.post("/invert", json=body), 422)
    assert "stylert gradient" in error(client.post("/project", json=body), 422)
    assert client.get("/info").json()["photos"] == dict.fromkeys(
        ("invert", "project", "inpaint", "align"), False
    )
