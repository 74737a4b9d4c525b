"""StyleSpace: what the graphs make of offsets of styles, in every family."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint, read_checkpoint
from stylert.export.families import build_synthesis_graph
from stylert.export.graphs.offsets import Offsets
from stylert.export.int8.graph_runs import make_pictures
from stylert.export.one_file import build_one_file
from stylert.export.verification import verify_bundle
from stylert.runtime.bundle import GPU, Bundle
from stylert.runtime.errors import ParityError
from stylert.runtime.generator import Generator

MakeCheckpoint = Callable[..., Checkpoint]
FAMILIES = ("stylegan1", "stylegan2", "field/luci16", "field/sg3t-statedict")


@pytest.fixture(scope="module")
def find(make_checkpoint: MakeCheckpoint, goldens: Path) -> Callable[[str], Checkpoint]:
    """Gives a small network: of a family, or a golden."""

    def checkpoint(name: str) -> Checkpoint:
        if name.startswith("stylegan"):
            return make_checkpoint(family=name, seed=3)
        return read_checkpoint(goldens / f"{name}.pt")

    return checkpoint


@pytest.fixture(scope="module")
def space_bundle(make_checkpoint: MakeCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16x16, proven in both precisions, with style space and gradient. Read only."""
    out = tmp_path_factory.mktemp("space") / "bundle"
    checkpoint = make_checkpoint(seed=3)
    export_bundle(checkpoint, out, verify_seeds=1, half="all", style_space=True, gradient=True)
    return out


@pytest.fixture(scope="module")
def space(space_bundle: Path) -> Iterator[Generator]:
    with Generator.open(space_bundle, provider="cpu", precision="fp32", threads=1) as generator:
        yield generator


def move_to(generator: Generator, ws: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The offsets that make the styles of ws those of others."""
    return generator.style_space(other) - generator.style_space(ws)


def save(checkpoint: Checkpoint, path: Path, **options: Any) -> onnx.ModelProto:
    build_synthesis_graph(checkpoint, **options).save(path)
    return onnx.load(path)


# --- The graphs.


@pytest.mark.parametrize("family", FAMILIES)
def test_without_its_nodes_the_graph_is_what_it_is_without_the_option(
    family: str, find: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    checkpoint = find(family)
    half = {"half_blocks": checkpoint.config.block_names} if family == "stylegan2" else {}
    plain = save(checkpoint, tmp_path / "plain.onnx", **half)
    moved = save(checkpoint, tmp_path / "moved.onnx", style_space=True, **half)
    renamed: dict[str, str] = {}
    for node in [*moved.graph.node]:
        if "/offset/" in node.name or node.name.startswith("style_offset/"):
            if node.op_type == "Add":
                renamed[node.output[0]] = node.input[0]
            moved.graph.node.remove(node)
    assert renamed
    for node in moved.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    for constant in [*moved.graph.initializer]:
        if "/offset/" in constant.name or constant.name.startswith("style_offset/"):
            moved.graph.initializer.remove(constant)
    given = [value for value in moved.graph.input if value.name == "style_offset"]
    moved.graph.input.remove(given[0])
    assert moved.graph.node == plain.graph.node
    assert moved.graph.initializer == plain.graph.initializer
    assert moved.graph.input == plain.graph.input
    assert moved.graph.output == plain.graph.output


@pytest.mark.parametrize("family", FAMILIES)
def test_with_the_styles_of_another_picture_it_is_that_picture(
    family: str, find: Callable[[str], Checkpoint], tmp_path: Path
) -> None:
    out = tmp_path / "bundle"
    export_bundle(find(family), out, verify_seeds=0, half="none", style_space=True)
    with Generator.open(out, provider="cpu", threads=1) as generator:
        ws, wanted = generator.styles(range(3)), generator.styles(range(5, 8))
        if generator.bundle.family == "stylegan3":
            wanted[:, 0] = ws[:, 0]  # the w of the waves, which have no style
        expected = generator.synthesize(wanted, output="img")
        offset = move_to(generator, ws, wanted)
        got = generator.synthesize(ws, output="img", style_offset=offset)
        assert np.abs(generator.synthesize(ws, output="img") - expected).max() > 0.01
        np.testing.assert_allclose(got, expected, atol=2e-5 * max(1, np.abs(expected).max()))
        # One for all, as the graph takes it itself: the first row goes to each picture.
        one = generator.synthesize(ws, output="img", style_offset=offset[0])
        np.testing.assert_allclose(one[0], got[0], atol=1e-6)
        feeds = generator.inputs.feed_styles(ws, {"style_offset": offset[:1]})
        session = onnxruntime.InferenceSession(out / "synthesis.onnx")
        rows = {**feeds.draw_rows(), **feeds.constants, "style_offset": offset[:1]}
        np.testing.assert_allclose(session.run(["img"], rows)[0], one, atol=1e-6)
        assert (GPU in generator.bundle.graphs) == (generator.bundle.family == "stylegan3")


def test_half_precision_is_moved_as_well(space_bundle: Path, space: Generator) -> None:
    ws, wanted = space.styles([1]), space.styles([2])
    offset = move_to(space, ws, wanted)
    with Generator.open(space_bundle, provider="cpu", precision="fp16", threads=1) as half:
        got = half.synthesize(ws, output="img", style_offset=offset)
        expected = half.synthesize(wanted, output="img")
    np.testing.assert_allclose(got, expected, atol=2e-3)


def test_zeros_are_as_without(
    space: Generator, make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    export_bundle(make_checkpoint(seed=3), tmp_path / "plain", verify_seeds=0, half="none")
    with Generator.open(tmp_path / "plain", provider="cpu", threads=1) as plain:
        np.testing.assert_array_equal(
            space.generate([1, 2], output="img"), plain.generate([1, 2], output="img")
        )


# --- What the bundle tells.


def test_mean_and_deviation_are_those_of_ten_thousand_latents(space: Generator) -> None:
    z = np.random.RandomState(0).randn(10_000, space.spec.z_dim)
    styles = space.style_space(space.map(z, truncation_psi=1))
    np.testing.assert_allclose(space.style_mean, styles.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(space.style_std, styles.std(axis=0), rtol=1e-3, atol=1e-5)


def test_layers_are_named_in_the_order_of_the_graph(space: Generator) -> None:
    layers = space.style_layers
    assert [layer.name for layer in layers[:4]] == ["b4.conv1", "b4.torgb", "b8.conv0", "b8.conv1"]
    assert [layer.name for layer in layers if layer.is_rgb] == ["b4.torgb", "b8.torgb", "b16.torgb"]
    assert [layer.start for layer in layers[1:]] == np.cumsum([n.count for n in layers])[
        :-1
    ].tolist()


# --- The proof.


def test_the_proof_moves_the_styles(space_bundle: Path) -> None:
    rows = Bundle.open(space_bundle).manifest["parity"]["rows"]
    moved = [row for row in rows if row.get("style_offset") == "seeded"]
    assert {row["precision"] for row in moved} == {"fp32", "fp16"}
    assert all(row["ws"] == "own" for row in moved)


def test_the_proof_sees_two_layers_exchanged(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Offsets.__init__

    def wrong(self: Any, *args: Any) -> None:
        right(self, *args)
        starts = self._starts
        starts["b4.conv1"], starts["b4.torgb"] = starts["b4.torgb"], starts["b4.conv1"]

    monkeypatch.setattr(Offsets, "__init__", wrong)
    with pytest.raises(ParityError, match="styles moved"):
        export_bundle(make_checkpoint(seed=3), tmp_path / "b", verify_seeds=1, style_space=True)


def test_verify_moves_them_again(space_bundle: Path, make_checkpoint: MakeCheckpoint) -> None:
    report = verify_bundle(space_bundle, make_checkpoint(seed=3), seeds=[0])
    assert report.passed
    assert any(row.scene.offset for row in report.rows)


# --- What else is made of the graph.


def test_the_gradient_of_ws_is_that_of_their_styles(space: Generator) -> None:
    ws = space.styles([3, 4])
    offset = 0.1 * space.style_std * np.ones((2, 1), np.float32)
    target = space.generate([5, 6], output="img")
    found = space.draw_gradient(ws, target, with_styles=True, style_offset=offset)
    assert found.style_offset is not None
    expected = np.zeros_like(found.ws)
    for layer in space.style_layers:  # the affine functions by their effect: they are linear
        for i in range(space.spec.w_dim):
            step = np.zeros_like(ws)
            step[:, layer.row, i] = 1
            change = space.style_space(ws + step) - space.style_space(ws)
            part = change[:, layer.places] * found.style_offset[:, layer.places]
            expected[:, layer.row, i] += part.sum(axis=1)
    np.testing.assert_allclose(found.ws, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_one_file_and_int8_leave_them_as_they_are(space_bundle: Path, space: Generator) -> None:
    model = build_one_file(space.bundle)
    assert [given.name for given in model.graph.input] == ["z"]
    (feeds,) = make_pictures(space, [7])
    assert feeds["style_offset"].shape == (1, len(space.style_std))
    assert not feeds["style_offset"].any()
