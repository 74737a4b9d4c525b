"""Words over HTTP: jobs that search the pictures that texts tell of."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

import stylert
from stylert import cli
from stylert.apps.demo import SOURCE, WORDS, find_words
from stylert.apps.serving.application import create_app
from stylert.apps.serving.handles import write_handle
from stylert.apps.serving.settings import Settings
from stylert.apps.words import Pair, SearchSettings, search_text
from stylert.commands.serving import JobLimits, _find_demo_pair
from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import InvalidInput
from stylert.runtime.generator import Generator
from stylert.tests.apps.serving.job_answers import ended, picture_of, refused

W = write_handle(np.zeros((10, 128), np.float32))  # of the demo
QUICK = {"seeds_start": 12, "generations": 1}


@pytest.fixture(scope="module")
def demo() -> Iterator[Generator]:
    with stylert.open(SOURCE, backend="onnxruntime", threads=1) as generator:
        yield generator


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair.open(WORDS, threads=1)


@pytest.fixture(scope="module")
def words(demo: Generator, pair: Pair) -> Iterator[TestClient]:
    with TestClient(create_app(demo, Settings(job_steps=1000, max_jobs=2), pair=pair)) as client:
        yield client


@pytest.fixture(autouse=True)
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, the lowest priority takes minutes."""
    monkeypatch.setattr(os, "setpriority", lambda *_: None)


def test_a_text_finds_what_the_library_finds(
    words: TestClient, demo: Generator, pair: Pair
) -> None:
    body = {
        "text": "a blue fish",
        "class_idx": "fish",
        "truncation_psi": 0.6,
        "first_seed": 9,
        "results": 2,
    } | QUICK
    job = ended(words, words.post("/search", json=body))
    assert (job["state"], job["error"], job["notes"]) == ("done", None, [])
    assert (job["pictures"], len(job["w"]), len(job["similarity"])) == (2, 2, 2)
    settings = SearchSettings(**{k: v for k, v in body.items() if k != "text"})
    found = search_text(demo, pair, "a blue fish", settings)
    np.testing.assert_allclose(job["similarity"], found.similarity, atol=1e-3)
    for i, expected in enumerate(found.images):
        assert np.abs(picture_of(words, job, i).astype(int) - expected).max() <= 2
    answer = words.post("/generate", json={"seeds": job["w"], "format": "npy"})
    drawn = np.load(io.BytesIO(answer.content))
    assert np.abs(drawn.astype(int) - found.images).max() <= 2


def test_a_search_starts_at_pictures_and_goes_on_by_gradients(
    words: TestClient, demo: Generator, pair: Pair
) -> None:
    ws = demo.styles([3, 4], class_idx=0)
    body = {"text": "a red flower", "generations": 0, "steps": 2}
    body["start"] = [write_handle(w) for w in ws]
    job = ended(words, words.post("/search", json=body))
    assert (job["state"], job["pictures"]) == ("done", 2)
    settings = SearchSettings(generations=0, steps=2)
    found = search_text(demo, pair, "a red flower", settings, start=ws)
    assert (found.similarity > found.started).all()
    np.testing.assert_allclose(job["similarity"], found.similarity, atol=1e-3)
    for i, expected in enumerate(found.images):
        assert np.abs(picture_of(words, job, i).astype(int) - expected).max() <= 2


def test_what_the_pair_does_not_know_is_told(
    words: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylert.apps.words.search.ENOUGH", 16)
    body = {"text": "a steam locomotive", "seeds_start": 16, "generations": 0}
    job = ended(words, words.post("/search", json=body))
    assert job["state"] == "done"
    assert "It knows little of this one." in job["notes"][0]
    long = {"text": "a red flower and " * 50, "seeds_start": 1, "generations": 0}
    (note,) = ended(words, words.post("/search", json=long))["notes"]
    assert "was cut off." in note


def test_a_search_is_looked_at_and_cancelled(words: TestClient) -> None:
    body = {"text": "a red cat", "seeds_start": 8, "generations": 1000}
    id = words.post("/search", json=body).json()["id"]
    while (job := words.get(f"/jobs/{id}").json())["stage"] != "searching nearby":
        assert job["state"] in ("waiting", "running")
    assert job["steps"] == 1000
    second = words.post("/search", json=body).json()["id"]
    assert "2 jobs already" in refused(words.post("/search", json=body), 429)
    for one in (second, id):
        words.delete(f"/jobs/{one}")
    job = ended(words, words.post("/search", json=body | {"generations": 0}))
    assert job["state"] == "done"
    assert words.get(f"/jobs/{id}").json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"text": "  "}, "text: got ' ', expected words."),
        ({"text": ""}, "text: got ''. "),
        ({"text": "x" * 1001}, "1000 characters"),
        ({"text": 5}, "text: got 5."),
        ({"class_idx": "dragon"}, "'flower'"),
        ({"class_idx": 6}, "class_idx: got 6, expected"),
        ({"seeds_start": 1001}, "seeds_start: got 1001."),
        ({"generations": 1001}, "generations: got 1001, expected up to 1000."),
        ({"results": 5}, "results: got 5."),
        ({"results": 3, "seeds_start": 2}, "results: got 3, expected an integer of 1 to 2."),
        ({"first_seed": 2**32 - 1}, "first_seed: got 4294967295, expected"),
        ({"steps": 1001}, "steps: got 1001, expected up to 1000."),
        ({"steps": -1}, "steps: got -1."),
        ({"start": []}, "start"),
        ({"start": ["w:AAAA"]}, "w: got 3 bytes"),
        ({"start": [W] * 5}, "start"),
        ({"start": [W], "results": 2}, "results: got 2 with a start, which gives one for each"),
        ({"step": 5}, "step: there is no such field"),
    ],
)
def test_what_does_not_fit_is_refused(
    words: TestClient, changes: dict[str, Any], told: str
) -> None:
    body = {"text": "a red cat"} | changes
    assert told in refused(words.post("/search", json=body), 422)


def test_without_a_pair_it_says_what_to_do(client: TestClient, words: TestClient) -> None:
    assert "--clip FOLDER" in refused(client.post("/search", json={"text": "a cat"}), 422)
    assert client.get("/info").json()["words"] is False
    assert words.get("/info").json()["words"] is True


def test_there_are_no_searches_without_jobs(demo: Generator, pair: Pair) -> None:
    with TestClient(create_app(demo, Settings(max_jobs=0), pair=pair)) as client:
        assert client.get("/info").json()["words"] is False
        answer = client.post("/search", json={"text": "a cat"})
        assert "stylert search" in refused(answer, 422)


def test_a_class_of_a_generator_without_classes_is_refused(
    generator: Generator, pair: Pair
) -> None:
    with TestClient(create_app(generator, pair=pair)) as client:
        answer = client.post("/search", json={"text": "a cat", "class_idx": 1})
        assert "class_idx" in refused(answer, 422)
        answer = client.post("/search", json={"text": "a cat", "steps": 1})
        assert "has no gradient. Make it: stylert gradient" in refused(answer, 422)
    settings = SearchSettings(class_idx=1, seeds_start=1, generations=0)
    with pytest.raises(InvalidInput, match="class_idx"):
        search_text(generator, pair, "a cat", settings)


def test_the_example_of_openapi_works(words: TestClient) -> None:
    schemas = words.get("/openapi.json").json()["components"]["schemas"]
    (example,) = schemas["SearchRequest"]["examples"]
    assert ended(words, words.post("/search", json=example))["state"] == "done"


def test_the_demo_has_a_pair_of_its_own(demo: Generator, bundle: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(SOURCE, tmp_path / "demo")
    assert find_words(Bundle.open(copy)) == WORDS
    assert find_words(Bundle.open(bundle)) is None
    assert _find_demo_pair(demo, JobLimits()) == WORDS
    assert _find_demo_pair(demo, JobLimits(max_jobs=0)) is None


def test_serve_opens_the_pair_that_it_is_given(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    served: list[Any] = []
    monkeypatch.setattr(
        "stylert.apps.serving.server.serve", lambda *_, **given: served.append(given["pair"])
    )

    def serve(*arguments: str | Path) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["serve", *map(str, arguments), "--provider", "cpu"])
        return int(ended.value.code or 0), capsys.readouterr().err

    assert serve(bundle, "--clip", WORDS)[0] == 0
    assert serve(SOURCE)[0] == 0
    assert serve(bundle)[0] == 0
    assert [one and one.folder for one in served] == [WORDS, WORDS, None]
    code, told = serve(bundle, "--clip", tmp_path)
    assert (code, told.count("\n")) == (2, 1)
    assert "clip" in told
    code, told = serve(bundle, "--clip", WORDS, "--jobs", "0")
    assert code == 2
    assert "--jobs 1 or more" in told
