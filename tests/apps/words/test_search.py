"""Searching the demo by words, judged by a reader that no search has met; and edits by words."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stylert import cli
from stylert.apps.demo import SOURCE, WORDS
from stylert.apps.words import Pair, SearchSettings, search_text
from stylert.runtime.errors import InvalidInput, StylertWarning
from stylert.runtime.generator import Generator
from stylert.tests.apps.words.demo_reader import READER, read_pictures

QUICK = SearchSettings(seeds_start=72, generations=4)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process: its exit code, and what it prints."""

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([*map(str, arguments)])
        return (int(ended.value.code or 0), *capsys.readouterr())

    return command


@pytest.fixture(scope="module")
def demo() -> Iterator[Generator]:
    with Generator.open(SOURCE, backend="onnxruntime", threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair.open(WORDS, threads=1)


def test_what_ships_is_small() -> None:
    assert sum(path.stat().st_size for path in WORDS.iterdir()) < 3_000_000
    assert READER.stat().st_size < 1_000_000


def test_a_search_finds_what_the_text_tells(demo: Generator, pair: Pair) -> None:
    for text, expected in (("a blue fish", ("fish", "blue")), ("a red cat", ("cat", "red"))):
        found = search_text(demo, pair, text, QUICK)
        assert read_pictures(found.images) == [expected]
        assert found.known is True
        assert found.similarity[0] > found.started[0] > 0.5  # the climb has found more
        again = pair.embed_images(demo.synthesize(found.ws, output="img"))
        assert np.allclose(again @ pair.embed_texts([text])[0], found.similarity, atol=1e-4)


def test_workers_find_what_one_finds_at_the_same_time(
    demo: Generator, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SearchSettings(seeds_start=20, generations=2)
    alone = search_text(demo, pair, "a blue flower", settings)
    embed, both_here = pair.embed_images, threading.Barrier(2)

    def wait_for_the_other(img: np.ndarray) -> np.ndarray:
        both_here.wait(30)
        return embed(img)

    monkeypatch.setattr(pair, "embed_images", wait_for_the_other)
    found = search_text(demo, pair, "a blue flower", settings, workers=2)
    assert np.allclose(found.similarity, alone.similarity, atol=1e-4)
    assert np.allclose(found.ws, alone.ws, atol=1e-3)


def test_several_results_of_one_class(demo: Generator, pair: Pair) -> None:
    settings = SearchSettings(seeds_start=24, generations=0, results=3, class_idx="mushroom")
    found = search_text(demo, pair, "something green", settings)
    assert found.ws.shape == (3, demo.spec.num_ws, demo.spec.w_dim)
    assert {name for name, _ in read_pictures(found.images)} == {"mushroom"}
    assert sorted(found.similarity, reverse=True) == found.similarity.tolist()
    assert np.array_equal(found.similarity, found.started)


def test_what_the_pair_does_not_know_is_told(demo: Generator, pair: Pair) -> None:
    settings = SearchSettings(generations=0)
    with pytest.warns(StylertWarning, match="no sample comes nearer to 'a steam locomotive' than"):
        assert search_text(demo, pair, "a steam locomotive", settings).known is False
    few = SearchSettings(seeds_start=12, generations=0)
    assert search_text(demo, pair, "a red fish", few).known is None  # 12 samples do not tell


def test_a_picture_that_is_there_becomes_what_the_text_tells(demo: Generator, pair: Pair) -> None:
    ws = demo.styles([800_001], class_idx="fish")
    assert read_pictures(demo.synthesize(ws)) == [("fish", "purple")]
    settings = SearchSettings(generations=14)
    found = search_text(demo, pair, "a red fish", settings, start=ws)
    assert read_pictures(found.images) == [("fish", "red")]
    text = pair.embed_texts(["a red fish"])[0]
    started = pair.embed_images(demo.synthesize(ws, output="img")) @ text
    assert np.allclose(found.started, started, atol=1e-4)
    assert found.similarity > found.started + 0.1


def test_gradients_go_on_from_there(
    pair: Pair, demo: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = SearchSettings(seeds_start=12, generations=0, steps=8, results=2)
    with monkeypatch.context() as patch:
        patch.setattr(Generator, "has_gradient", False)
        with pytest.raises(InvalidInput, match=r"has no gradient. Make it: stylert gradient"):
            search_text(demo, pair, "a blue house", few)
    with Generator.open(SOURCE, backend="onnxruntime", threads=1) as generator:
        found = search_text(generator, pair, "a house", few)
    assert (found.similarity > found.started + 0.01).all()


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"seeds_start": 0}, {"results": 300}, {"generations": -1}, {"steps": -1}):
        (name,) = wrong
        with pytest.raises(InvalidInput, match=f"^{name}: got"):
            SearchSettings(**wrong)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 0}, "workers: got 0, expected an integer of 1 to 1024"),
        ({"workers": "many"}, "workers: got 'many'"),
        ({"start": "there"}, "start: got 'there', expected floats"),
        ({"start": [[1], [2, 3]]}, "start: got a ragged list"),
        ({"start": np.zeros((1, 10, 7))}, r"ws: got shape \(1, 10, 7\)"),
        ({"text": 3}, "text: got 3, expected words"),
        ({"text": b"cat"}, "text: got b'cat', expected words"),
        ({"text": "\ud800"}, r"text: got '\\ud800', expected words"),
    ],
)
def test_what_nothing_can_be_looked_for_with_is_refused(
    demo: Generator, pair: Pair, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        search_text(demo, pair, **{"text": "a cat", **options})


def test_texts_are_a_list(pair: Pair) -> None:
    texts: Any
    for texts in ("cat", None, 3):
        with pytest.raises(InvalidInput, match=f"texts: got {texts!r}, expected a list of texts"):
            pair.embed_texts(texts)


def test_the_command(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    bundle, words = tmp_path / "demo", tmp_path / "words"
    assert run("demo", bundle, "--words", words)[0] == 0
    options = ("--clip", words, "--seeds-start", "12", "--generations", "1", "--threads", "1")
    out, ws = tmp_path / "best.png", tmp_path / "best.npz"
    code, told, errors = run(
        "search", bundle, "a fish", *options, "--out", out, "--ws", ws, "--json"
    )
    assert code == 0, errors
    facts = json.loads(told)
    assert facts["files"] == [str(out), str(ws)]
    assert facts["known"] is True
    assert run("generate", bundle, "--ws", ws, "--out", tmp_path / "again")[0] == 0
    (again,) = (tmp_path / "again").glob("*.png")
    assert np.array_equal(np.asarray(Image.open(again)), np.asarray(Image.open(out)))
    turned = tmp_path / "turned.png"
    there = ("--clip", words, "--generations", "1", "--threads", "1", "--start", ws)
    assert run("search", bundle, "a cat", *there, "--out", turned)[0] == 0
    assert turned.exists()
    assert run("search", bundle, "a fish", *options, "--results", "2", "--out", out)[0] == 0
    assert {path.name for path in tmp_path.glob("best-*.png")} == {"best-1.png", "best-2.png"}
    other = tmp_path / "other.png"
    for wrong, message in (
        (("a fish", *options, "--out", out), "exists. Pass --force"),
        (("a fish", "--clip", tmp_path / "none", "--out", other), "--clip: got"),
        (("a fish", *options, "--out", other, "--ws", "x.pt"), "--ws: got x.pt, expected"),
        ((" ", *options, "--out", other), "text: got ' ', expected words"),
        (("\udcff", *options, "--out", other), "text: got '\\udcff', expected words"),
        (("a fish", *there, "--results", "2", "--out", other), "--results: got"),
        (("a fish", *options, "--class", "dog", "--out", other), "--class: got 'dog'"),
    ):
        code, _, errors = run("search", bundle, *wrong)
        assert code == 2, wrong
        assert message in errors
        assert errors.count("\n") == 1
        assert not other.exists()
    assert run("demo", bundle, "--words", words)[0] == 2
    assert run("demo", bundle, "--words", words, "--force")[0] == 0
    (words / "mine.txt").write_text("mine")
    code, _, errors = run("demo", bundle, "--words", words, "--force")
    assert code == 2
    assert "is no pair of the demo" in errors
