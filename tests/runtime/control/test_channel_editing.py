"""Single channels with a generator: what moves them, what is refused, and relevance tables."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.apps.datasets import DatasetJob, Seeds
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint
from stylert.runtime.bundle import Bundle, sealed
from stylert.runtime.control.relevance import RelevanceTable, list_relevance, write_relevance
from stylert.runtime.errors import BundleError
from stylert.runtime.generator import Generator

Refuses = Callable[..., Any]


@pytest.fixture(scope="module")
def moving(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generator]:
    """8x8, with style space."""
    out = tmp_path_factory.mktemp("moving") / "bundle"
    export_bundle(tiny, out, verify_seeds=0, half="none", style_space=True)
    with Generator.open(out, provider="cpu") as generator:
        yield generator


@pytest.fixture
def own_copy(moving: Generator, tmp_path: Path) -> Path:
    return shutil.copytree(moving.bundle.path, tmp_path / "bundle")


def test_a_channel_is_moved_by_its_deviation(moving: Generator) -> None:
    layer = moving.style_layers[2]
    offset = moving.make_style_offset({f"{layer.name}:1": 3, "b4.conv1:0": -1}, [0, 2])
    expected = np.zeros((2, len(moving.style_std)), np.float32)
    expected[1, layer.start + 1] = 6 * moving.style_std[layer.start + 1]
    expected[1, 0] = -2 * moving.style_std[0]
    np.testing.assert_allclose(offset, expected, rtol=1e-6)
    first = moving.synthesize(np.repeat(moving.styles([1]), 2, axis=0), style_offset=offset)
    assert np.array_equal(first[0], moving.generate([1])[0])
    assert not np.array_equal(first[1], first[0])


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3,), "style_offset: got shape (3,), expected (2, {S}) or ({S},)."),
        ((3, 28), "style_offset: got shape (3, 28), expected (2, {S})"),
        ((1, 2, 28), "style_offset: got shape (1, 2, 28)"),
    ],
)
def test_an_offset_of_another_shape(
    moving: Generator, refuses: Refuses, shape: tuple[int, ...], words: str
) -> None:
    with refuses(words.format(S=len(moving.style_std))):
        moving.generate([1, 2], style_offset=np.zeros(shape, np.float32))
    with refuses("style_offset: got NaN or infinity"):
        moving.generate([1], style_offset=np.full(len(moving.style_std), np.nan, np.float32))


def test_a_bundle_without_style_space(generator: Generator, refuses: Refuses) -> None:
    with refuses("has no style space. Export the checkpoint again", "stylert export --style-space"):
        generator.generate([1], style_offset=np.zeros(5, np.float32))
    for ask in (
        lambda: generator.style_layers,
        lambda: generator.style_space(generator.styles([1])),
        lambda: generator.make_style_offset({"b4.conv1:0": 1}),
    ):
        with refuses("has no style space"):
            ask()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "b4.conv9:1",
            "got 'b4.conv9:1', expected LAYER:CHANNEL with a layer of b4.conv1, b4.torgb",
        ),
        ("b4.conv1:6", "got 'b4.conv1:6', expected b4.conv1:0 to b4.conv1:5."),
        ("b4.conv1:-1", "expected b4.conv1:0 to b4.conv1:5."),
        ("b4.conv1", "expected LAYER:CHANNEL"),
        (7, "got 7, expected LAYER:CHANNEL"),
    ],
)
def test_a_channel_that_is_not_there(
    moving: Generator, refuses: Refuses, name: Any, words: str
) -> None:
    with refuses("channels: ", words):
        moving.make_style_offset({name: 1})


def test_data_sets_take_none(refuses: Refuses) -> None:
    with refuses("style_offset: got an array, expected None"):
        DatasetJob(seeds=Seeds.parse("1"), options={"style_offset": np.zeros(3)})


# --- Relevance tables.


def test_a_table_is_kept_in_the_bundle(own_copy: Path, moving: Generator, refuses: Refuses) -> None:
    numbers = np.random.RandomState(0).randn(len(moving.style_std), 4).astype(np.float32)
    write_relevance(own_copy, RelevanceTable("vit-b-32", "sha256:abc", numbers))
    with Generator.open(own_copy, provider="cpu") as opened:
        table = opened.read_relevance("vit-b-32")
        assert (table.prompt_space, list_relevance(opened.bundle)) == (
            "sha256:abc",
            {"vit-b-32": "sha256:abc"},
        )
        np.testing.assert_array_equal(table.table, numbers)
        with refuses("name: got 'rn50', expected 'vit-b-32'."):
            opened.read_relevance("rn50")
    with refuses("has a table 'vit-b-32'. Pass force=True"):
        write_relevance(own_copy, RelevanceTable("vit-b-32", "x", numbers))
    write_relevance(own_copy, RelevanceTable("vit-b-32", "x", 2 * numbers), force=True)
    write_relevance(own_copy, RelevanceTable("rn50", "y", numbers[:, :2]))
    assert list_relevance(Bundle.open(own_copy)) == {"vit-b-32": "x", "rn50": "y"}


def test_tables_that_do_not_fit(own_copy: Path, bundle: Path, refuses: Refuses) -> None:
    table = np.zeros((5, 4), np.float32)
    with refuses("table: got shape (5, 4), expected ("):
        write_relevance(own_copy, RelevanceTable("a", "x", table))
    with refuses("name: got '../a', expected up to 40 small letters"):
        write_relevance(own_copy, RelevanceTable("../a", "x", table))
    with refuses("has no style space"):
        write_relevance(bundle, RelevanceTable("a", "x", table))


# --- Damaged bundles.


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda m: m.pop("style_space"), "does not say what its styles are"),
        (lambda m: m["style_space"]["layers"].pop(), "styles for"),
        (lambda m: m["style_space"]["layers"][0].update(row=99), "a layer is"),
        (lambda m: m["style_space"]["layers"][0].update(name="b4.torgb"), "two layers"),
        (lambda m: m["style_space"]["layers"][0].update(count=True), "a layer is"),
    ],
)
def test_a_manifest_that_does_not_fit(
    own_copy: Path, refuses: Refuses, change: Callable[[Any], object], word: str
) -> None:
    file = own_copy / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    change(manifest)
    file.write_text(json.dumps(sealed(manifest)), encoding="utf-8")
    with refuses(word, error=BundleError):
        Generator.open(own_copy, provider="cpu")


def test_a_damaged_file(own_copy: Path, refuses: Refuses) -> None:
    file = own_copy / "style_space.npz"
    file.write_bytes(file.read_bytes()[::-1])
    with (
        Generator.open(own_copy, provider="cpu", check_files=False) as opened,
        refuses("cannot read style_space.npz", error=BundleError),
    ):
        opened.make_style_offset({"b4.conv1:0": 1})
