"""Edits by words: the table of a pair, made once and resumed, and the channels that a text asks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stylert import cli
from stylert.apps.words import (
    Pair,
    count_drawings,
    find_channels,
    find_edits,
    find_sampled_table,
    find_table,
    find_text_direction,
    make_table,
    sample_table,
)
from stylert.apps.words.pair import unit
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint
from stylert.runtime.errors import InvalidInput
from stylert.runtime.generator import Generator
from stylert.tests.apps.words.tiny_pairs import write_modern

PICTURES = 2


@pytest.fixture(scope="module")
def styled(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8x8, with style space. To be read only."""
    out = tmp_path_factory.mktemp("styled") / "bundle"
    export_bundle(tiny, out, verify_seeds=0, half="none", style_space=True)
    return out


@pytest.fixture
def generator(styled: Path, tmp_path: Path) -> Iterator[Generator]:
    own = shutil.copytree(styled, tmp_path / "bundle")
    with Generator.open(own, backend="onnxruntime", threads=1) as opened:
        yield opened


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.open(write_modern(tmp_path / "pair", context=16), threads=1)


def test_a_row_of_the_table_is_what_its_channel_changes(generator: Generator, pair: Pair) -> None:
    assert find_table(generator, pair) is None
    table = make_table(generator, pair, pictures=PICTURES)
    layers = generator.style_layers
    tried = sum(layer.count for layer in layers if not layer.is_rgb)
    assert count_drawings(generator, PICTURES) == 2 * PICTURES * tried
    layer = next(layer for layer in layers if layer.start and not layer.is_rgb)
    place = layer.start + 1
    ws = generator.styles(range(7_000_000, 7_000_000 + PICTURES))
    ends = []
    for sign in (5, -5):
        styles = generator.style_space(ws)
        offset = np.zeros_like(styles)
        wanted = generator.style_mean[place] + sign * generator.style_std[place]
        offset[:, place] = wanted - styles[:, place]
        ends.append(pair.embed_images(generator.synthesize(ws, style_offset=offset, output="img")))
    expected = unit(unit(ends[0] - ends[1]).mean(0))
    assert np.allclose(table[place], expected, atol=1e-4)
    colouring = next(layer for layer in layers if layer.is_rgb)
    assert not table[colouring.places].any()
    with Generator.open(generator.bundle.path, backend="onnxruntime", threads=1) as again:
        kept = find_table(again, pair)
    assert kept is not None
    assert np.array_equal(kept, table)


def test_an_interrupted_table_goes_on(
    generator: Generator, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylert.apps.words.channel_table.SAVED", 8 * PICTURES)
    done: list[int] = []

    def stop(what: str, count: int, total: int) -> None:
        done.append(count)
        if count >= total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_table(generator, pair, pictures=PICTURES, progress=stop)
    rest: list[int] = []
    table = make_table(
        generator, pair, pictures=PICTURES, progress=lambda what, count, total: rest.append(count)
    )
    assert 1 < len(rest) < len(done) + 8
    assert not [*generator.bundle.path.glob("*.part.npz")]
    fresh = shutil.copytree(tmp_path / "bundle", tmp_path / "fresh")
    with Generator.open(fresh, backend="onnxruntime", threads=1) as other:
        assert np.array_equal(make_table(other, pair, pictures=PICTURES), table)


def test_channels_are_those_that_agree(generator: Generator, pair: Pair) -> None:
    direction = find_text_direction(pair, "blue fish", "fish")
    assert np.linalg.norm(direction) == pytest.approx(1, abs=1e-5)
    layer = generator.style_layers[2]
    table = np.zeros((len(generator.style_std), pair.dim), np.float32)
    table[layer.start : layer.start + 3] = np.array([0.8, -0.4, 0.1])[:, None] * direction
    names = [f"{layer.name}:{i}" for i in range(3)]
    few = find_channels(generator, table, direction, beta=0.2)
    assert few == pytest.approx({names[0]: 1.0, names[1]: -0.5})
    assert [*find_channels(generator, table, direction)] == names[:1]
    assert [*find_channels(generator, table, direction, beta=0)] == names
    with pytest.raises(InvalidInput, match=r"beta: got 0.9, but the channels agree by 0.800"):
        find_channels(generator, table, direction, beta=0.9)
    with pytest.raises(InvalidInput, match="text: got 'red', which says what neutral 'red' does"):
        find_text_direction(pair, "red", "red")


def test_a_row_of_the_sampled_table_is_the_covariance_of_its_channel(
    generator: Generator, pair: Pair
) -> None:
    assert find_sampled_table(generator, pair) is None
    table = sample_table(generator, pair, samples=24)
    ws = generator.styles(range(8_000_000, 8_000_024))
    points = pair.embed_images(np.asarray(generator.synthesize(ws, output="img")))
    for layer in generator.style_layers[:2]:  # one that draws, and one that colours
        style = generator.style_space(ws)[:, layer.start] / generator.style_std[layer.start]
        expected = [np.cov(style, of_points, bias=True)[0, 1] for of_points in points.T]
        assert np.allclose(table[layer.start], expected, atol=1e-5)
        assert np.abs(table[layer.start]).max() > 1e-4
    with Generator.open(generator.bundle.path, backend="onnxruntime", threads=1) as again:
        kept = find_sampled_table(again, pair)
    assert kept is not None
    assert np.array_equal(kept, table)
    assert find_table(generator, pair) is None  # which is another


def test_an_edit_brings_each_picture_nearer_to_the_text(generator: Generator, pair: Pair) -> None:
    table = sample_table(generator, pair, samples=24)
    target = pair.embed_texts(["blue fish"])[0]
    found = []
    for w in generator.styles([3, 4]):
        (channels,) = find_edits(generator, pair, table, w[None], "blue fish")
        offset = generator.make_style_offset(channels, [0, 1])
        img = generator.synthesize(np.stack([w, w]), style_offset=offset, output="img")
        before, after = pair.embed_images(np.asarray(img)) @ target
        assert after > before
        found.append(channels)
    assert found[0] != found[1]
    with pytest.raises(InvalidInput, match="text: got ' ', expected words"):
        find_edits(generator, pair, table, w[None], " ")


def test_the_command(
    generator: Generator, pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["edit", *map(str, arguments), "--threads", "1"])
        return int(ended.value.code or 0), capsys.readouterr().err

    bundle, out = generator.bundle.path, tmp_path / "strip.png"
    words = ("--text", "blue fish", "--neutral", "fish", "--clip", pair.folder)
    few = ("--seed", 1, "--strengths=-2,0,2", "--table-pictures", PICTURES)
    code, told = run(bundle, *few, *words, "--out", out)
    assert code == 0, told
    drawings = count_drawings(generator, PICTURES)
    assert f"once for this bundle and pair: {drawings} pictures" in " ".join(told.split())
    assert out.exists()
    code, told = run(bundle, *few, *words, "--out", out, "--force")
    assert code == 0
    assert "once" not in told  # the table is there
    for wrong, message in (
        ((*few, *words, "--direction", "pca:0"), "pass --direction NAME or --text TEXT"),
        ((*few, *words[:2]), "pass --clip FOLDER with --text"),
        ((*few, *words[:2], *words[4:], "--beta", 0.1), "got --beta, expected --neutral with it"),
        ((*few, *words[:4]), "pass --clip FOLDER with --text"),
        ((*few, "--direction", "pca:0", *words[2:]), "got --neutral, expected --text"),
    ):
        code, told = run(bundle, *wrong, "--out", tmp_path / "other.png")
        assert (code, message in told) == (2, True), told


def test_the_command_without_neutral_edits_each_picture_from_where_it_is(
    generator: Generator, pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = sample_table(generator, pair, samples=24)  # the bundle has it: none is drawn
    monkeypatch.setattr("stylert.apps.words.sample_table", None)
    out = tmp_path / "strip.npy"
    words = ["--text", "blue fish", "--clip", str(pair.folder), "--strengths=0,1"]
    rest = ["--seeds", "3,4", "--threads", "1", "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        cli.main(["edit", str(generator.bundle.path), *words, *rest])
    assert not ended.value.code
    strip = np.load(out)
    for row, w in enumerate(generator.styles([3, 4])):
        (channels,) = find_edits(generator, pair, table, w[None], "blue fish")
        offset = generator.make_style_offset(channels, [0, 1])
        drawn = generator.synthesize(np.stack([w, w]), style_offset=offset)
        expected = np.concatenate([*drawn], axis=1)
        size = len(expected)
        assert np.array_equal(np.squeeze(strip)[row * size : (row + 1) * size], expected)


def test_a_bundle_without_style_space_is_refused(
    tiny_bundle: Path, pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--text", "blue fish", "--neutral", "fish", "--clip", str(pair.folder)]
    out = str(tmp_path / "x.png")
    with pytest.raises(SystemExit) as ended:
        cli.main(["edit", str(tiny_bundle), "--seed", "1", *words, "--out", out])
    assert ended.value.code == 2
    assert "has no style space" in capsys.readouterr().err
