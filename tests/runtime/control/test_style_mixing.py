"""Mixing and interpolating with a generator: against what `generate` and `synthesize` draw."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.runtime.bundle import Bundle
from stylert.runtime.control.interpolation import cubic, make_frame_times, slerp_path
from stylert.runtime.control.noise_loop import NoiseLoop
from stylert.runtime.control.styles import mix_styles
from stylert.runtime.feeds import Feeds
from stylert.runtime.generator import Generator
from stylert.runtime.latents import make_z
from stylert.runtime.proof.parity import TOLERANCES, compare


def same(expected: np.ndarray, got: np.ndarray) -> bool:
    return compare(expected, got).within(TOLERANCES["fp32"])


@pytest.fixture(scope="module")
def large(bundle_of: Callable[[str], Path]) -> Iterator[Generator]:
    """64x64: one that has fine layers."""
    with Generator.open(bundle_of("sg2-fp16-64"), provider="cpu", precision="fp32") as opened:
        yield opened


def frames_of(generator: Generator, keyframes: Any, **options: Any) -> np.ndarray:
    return np.stack(list(generator.interpolate(keyframes, output="img", **options)))


# --- Styles, and truncation by the names of layers.


def test_styles_are_those_of_map(generator: Generator) -> None:
    z = make_z([4, 5], generator.spec.z_dim)
    for options in ({}, {"truncation_psi": 0.5, "truncation_cutoff": 3}):
        assert np.array_equal(generator.styles([4, 5], **options), generator.map(z, **options))


def test_styles_of_classes(conditional: Generator) -> None:
    z = make_z([4, 5], conditional.spec.z_dim)
    expected = conditional.map(z, np.eye(5)[[3, 0]])
    assert np.array_equal(conditional.styles([4, 5], class_idx=[3, 0]), expected)
    soft = conditional.styles([4], labels=[0.25, 0, 0, 0.75, 0])
    assert np.array_equal(soft, conditional.styles([4], labels={3: 3, 0: 1}))


def test_psi_by_the_names_of_layers(large: Generator) -> None:
    assert {name: len(rows) for name, rows in large.layer_groups.items()} == {
        "all": 10,
        "coarse": 3,
        "middle": 4,
        "fine": 3,
    }
    by_name = {"coarse": 0.2, "fine": 0.5}
    row = np.array([0.2] * 3 + [1] * 4 + [0.5] * 3)
    seeds = [1, 2]
    expected = large.styles(seeds, truncation_psi=np.stack([row, row]))
    assert np.array_equal(large.styles(seeds, truncation_psi=by_name), expected)
    drawn = large.generate(seeds, truncation_psi=by_name, output="img")
    assert same(large.synthesize(expected, output="img"), drawn)
    cut = large.styles(seeds, truncation_psi=by_name, truncation_cutoff=2)
    assert np.array_equal(cut[:, :2], expected[:, :2])
    assert np.array_equal(cut[:, 2:], large.styles(seeds, truncation_psi=1)[:, 2:])


def test_a_psi_by_name_that_is_refused(generator: Generator, refuses: Any) -> None:
    with refuses("layers: got 'fine', which this generator is too small for"):
        generator.generate([1], truncation_psi={"fine": 0.5})
    with refuses("truncation_psi: got '0.5' for 'coarse', expected a finite number"):
        generator.generate([1], truncation_psi={"coarse": "0.5"})


# --- Mixing.


def test_a_mix_of_no_or_all_layers_is_the_row_or_the_column(generator: Generator) -> None:
    rows, columns = [1, 2], [3, 4, 5]
    images = generator.mix(rows, columns, layers="all", output="img")
    assert images.shape == (2, 3, 3, 32, 32)
    expected = generator.generate(columns, output="img")
    for row in images:
        assert same(expected, row)
    images = generator.mix(rows, rows, layers="coarse")
    assert images.shape == (2, 2, 32, 32, 3)
    assert images.dtype == np.uint8
    drawn = generator.generate(rows)
    for i in range(2):  # with itself, whatever the layers
        assert np.abs(images[i, i].astype(int) - drawn[i]).max() <= 1


@pytest.mark.parametrize("layers", ["coarse", "middle", "fine", "0-6", [1, 9], "coarse,9"])
def test_each_cell_has_the_layers_of_its_column(large: Generator, layers: Any) -> None:
    rows, columns = large.styles([1, 2]), large.styles([3, 4])
    images = large.mix([1, 2], [3, 4], layers=layers, output="img")
    indices = {"coarse": [0, 1, 2], "middle": [3, 4, 5, 6], "fine": [7, 8, 9]}
    indices |= {"0-6": list(range(7)), "coarse,9": [0, 1, 2, 9]}
    chosen = indices[layers] if isinstance(layers, str) else layers
    for r, c in itertools.product(range(2), range(2)):
        ws = rows[r : r + 1].copy()
        ws[:, chosen] = columns[c, chosen]
        assert same(large.synthesize(ws, output="img"), images[r, c][None])
    assert not same(images[0], images[1])
    assert not same(images[:, 0], images[:, 1])


def test_mixes_of_styles_and_seeds(generator: Generator) -> None:
    expected = generator.mix([1], [2], layers="coarse", truncation_psi=0.7, output="img")
    one, two = generator.styles([1, 2], truncation_psi=0.7)[:, None]
    for rows, columns, psi in ((one, two, None), (1, two, 0.7), (one, 2, 0.7)):
        got = generator.mix(rows, columns, layers="coarse", truncation_psi=psi, output="img")
        assert same(expected[0], got[0])


def test_the_noise_of_a_mix(generator: Generator) -> None:
    def mix(**options: Any) -> np.ndarray:
        return generator.mix([1], [2], layers="coarse", output="img", **options)[0]

    ws = mix_styles(generator.styles([1]), generator.styles([2]), [0, 1, 2])
    for options in ({"noise_mode": "none"}, {"noise_mode": "seeded", "noise_seed": 7}):
        assert same(generator.synthesize(ws, output="img", **options), mix(**options))
    assert not same(mix(), mix(noise_mode="none"))


def test_a_mix_of_a_class(conditional: Generator) -> None:
    images = conditional.mix([1], [2], layers="all", class_idx=3, output="img")
    assert same(conditional.generate([2], class_idx=3, output="img"), images[0])


def test_a_mix_of_several_classes(conditional: Generator, refuses: Any) -> None:
    rows, columns = (
        conditional.styles([1, 2], class_idx=[3, 0]),
        conditional.styles([5], class_idx=4),
    )
    expected = conditional.mix(rows, columns, layers="coarse")
    options: dict[str, Any] = {"class_idx": [3, 0], "column_class_idx": 4}
    assert np.array_equal(conditional.mix([1, 2], [5], layers="coarse", **options), expected)
    assert np.array_equal(
        conditional.mix(rows, [5], layers="coarse", column_class_idx=[4]), expected
    )
    with refuses("class_idx: got 4 with ws"):
        conditional.mix(rows, columns, layers="coarse", column_class_idx=4)
    with refuses("class_idx: got 3 classes"):
        conditional.mix([1, 2], [5], layers="coarse", class_idx=1, column_class_idx=[1, 2, 3])


MIX_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"layers": "rough"}, "layers: got 'rough', expected 'all' (0-7), "),
    ({"layers": "fine"}, "layers: got 'fine', which this generator is too small for, expected "),
    ({"layers": 8}, "layers: got 8, expected 0 to 7"),
    ({"rows": "1"}, "rows: got '1', expected integers"),
    ({"rows": []}, "rows: got none, expected at least one"),
    ({"columns": [1.5]}, "columns: got 1.5, expected integers"),
    ({"columns": np.ones((1, 8, 63))}, "columns: got shape (1, 8, 63), expected ('N', 8, 64)"),
    ({"rows": np.ones((1, 7, 64))}, "rows: got shape (1, 7, 64), expected ('N', 8, 64)"),
    ({"rows": np.ones((8, 64))}, "rows: got shape (8, 64), expected ('N', 8, 64)"),
    ({"columns": [[1.0, 2.0], [3.0]]}, "columns: got a ragged list, expected seeds, or an array"),
    ({"rows": np.full((1, 8, 64), np.nan)}, "rows: got NaN or infinity, expected"),
    ({"truncation_psi": np.nan}, "truncation_psi: got NaN or infinity, expected"),
    ({"class_idx": 0}, "class_idx: got 0, expected None: this generator is unconditional"),
    ({"noise_mode": "animated"}, "noise_mode: got 'animated', expected one of"),
    ({"output": "png"}, "output: got 'png', expected"),
    (
        {"rows": np.ones((1, 8, 64)), "columns": np.ones((1, 8, 64)), "truncation_psi": 0.5},
        "truncation_psi: got 0.5 with ws, expected None",
    ),
]


@pytest.mark.parametrize(("options", "message"), MIX_REFUSED)
def test_mix_refuses(
    generator: Generator, refuses: Any, options: dict[str, Any], message: str
) -> None:
    with refuses(message):
        generator.mix(**{"rows": [1], "columns": [2], "layers": "coarse"} | options)


# --- Interpolation.


@pytest.mark.parametrize("curve", ["cubic", "linear", "slerp"])
@pytest.mark.parametrize("loop", [False, True])
def test_the_frames_at_keyframes_are_their_images(
    generator: Generator, curve: Any, loop: bool
) -> None:
    seeds = [1, 2, 3]
    options: dict[str, Any] = {"truncation_psi": 0.7, "truncation_cutoff": 5}
    images = frames_of(generator, seeds, frames=4, curve=curve, loop=loop, **options)
    assert len(images) == (12 if loop else 9)
    assert same(generator.generate(seeds, output="img", **options), images[::4])
    assert not same(images[:1], images[1:2])


def test_cubic_is_the_curve_through_the_styles(generator: Generator) -> None:
    ws = generator.styles([1, 2, 3])
    expected = cubic(ws, make_frame_times(3, 5, loop=True), loop=True)
    images = frames_of(generator, ws, frames=5, loop=True)
    assert same(generator.synthesize(expected, output="img"), images)
    assert same(images, frames_of(generator, [1, 2, 3], frames=5, loop=True, truncation_psi=1))


def test_slerp_turns_the_latents(generator: Generator) -> None:
    z = make_z([1, 2], generator.spec.z_dim)
    path = slerp_path(z, make_frame_times(2, 4, loop=False))
    expected = generator.synthesize(generator.map(path), output="img")
    for keyframes in ([1, 2], z):
        assert same(expected, frames_of(generator, keyframes, frames=4, curve="slerp"))


@pytest.mark.parametrize("curve", ["cubic", "slerp"])
def test_psi_that_changes_on_the_way(generator: Generator, curve: Any) -> None:
    psi = np.linspace(0, 1, 5)
    images = frames_of(generator, [1, 1], frames=4, curve=curve, truncation_psi=psi)
    expected = generator.generate([1] * 5, truncation_psi=psi, output="img")
    assert same(expected, images)
    by_layer = np.repeat(psi[:, None], 8, axis=1)
    by_layer[:, 3:] = 1
    images = frames_of(generator, [1, 1], frames=4, curve=curve, truncation_psi=by_layer)
    cut = frames_of(
        generator, [1, 1], frames=4, curve=curve, truncation_psi=psi, truncation_cutoff=3
    )
    assert same(images, cut)
    assert not same(expected, images)


def test_styles_are_truncated_only_where_that_is_asked_for(generator: Generator) -> None:
    ws = generator.styles([1, 2], truncation_psi=1)
    expected = frames_of(generator, [1, 2], frames=2, truncation_psi=0.3)
    assert same(expected, frames_of(generator, ws, frames=2, truncation_psi=0.3))
    by_name = {"all": 0.3}
    assert same(expected, frames_of(generator, ws, frames=2, truncation_psi=by_name))
    assert not same(expected, frames_of(generator, ws, frames=2))


@pytest.mark.parametrize("curve", ["cubic", "linear", "slerp"])
@pytest.mark.parametrize("loop", [False, True])
def test_single_places_are_on_the_way(generator: Generator, curve: Any, loop: bool) -> None:
    options: dict[str, Any] = {"curve": curve, "loop": loop, "truncation_psi": 0.4}
    frames = frames_of(generator, [1, 2, 3], frames=4, **options)
    times = np.arange(len(frames)) / 4
    ws = generator.styles_between([1, 2, 3], times, **options)
    assert same(frames, generator.synthesize(ws, output="img"))
    assert np.array_equal(ws[5:6], generator.styles_between([1, 2, 3], 1.25, **options))
    end = 3 if loop else 2
    last = generator.styles_between([1, 2, 3], end, **options)
    np.testing.assert_allclose(last[0], ws[0 if loop else -1], atol=1e-5)


def test_single_places_between_styles_and_classes(
    generator: Generator, conditional: Generator
) -> None:
    ws = generator.styles([1, 2], truncation_psi=1)
    np.testing.assert_allclose(generator.styles_between(ws, 0.5)[0], ws.mean(axis=0), atol=1e-5)
    for curve in ("linear", "slerp"):
        options: dict[str, Any] = {"curve": curve, "class_idx": [0, 4]}
        frames = frames_of(conditional, [7, 7], frames=2, **options)
        middle = conditional.styles_between([7, 7], 0.5, **options)
        assert same(frames[1:2], conditional.synthesize(middle, output="img"))


@pytest.mark.parametrize(
    ("times", "options", "words"),
    [
        (-0.1, {}, ["times: got -0.1, expected 0 to 1"]),
        (1.01, {}, ["times: got 1.01, expected 0 to 1"]),
        (2.5, {"loop": True}, ["times: got 2.5, expected 0 to 2"]),
        (np.nan, {}, ["times: got nan"]),
        ([], {}, ["times: got []"]),
        ([[0.5]], {}, ["times: got [[0.5]]"]),
        ([[0.5], 1], {}, ["times: got "]),
        ("0.5", {}, ["times: got '0.5'"]),
        (True, {}, ["times: got True"]),
        (0.5, {"keyframes": [1]}, ["keyframes: got 1, expected at least 2"]),
        (0.5, {"loop": 1}, ["loop: got 1"]),
        (0.5, {"curve": "round"}, ["curve: got 'round'"]),
        (0.5, {"truncation_psi": [1, 1]}, ["truncation_psi"]),
    ],
)
def test_single_places_that_are_refused(
    generator: Generator, refuses: Any, times: Any, options: dict[str, Any], words: list[str]
) -> None:
    with refuses(*words):
        generator.styles_between(**{"keyframes": [1, 2], "times": times} | options)


@pytest.mark.parametrize("max_batch", [1, 3, 8])
def test_the_batch_does_not_matter(bundle: Path, generator: Generator, max_batch: int) -> None:
    options: dict[str, Any] = {"frames": 5, "noise_mode": "animated", "noise_seed": 3, "loop": True}
    with Generator.open(bundle, provider="cpu", max_batch=max_batch) as other:
        assert same(frames_of(generator, [1, 2], **options), frames_of(other, [1, 2], **options))


def test_frames_are_single_images(generator: Generator) -> None:
    for output, shape, dtype in (
        ("image", (32, 32, 3), np.uint8),
        ("img", (3, 32, 32), np.float32),
    ):
        frames = list(generator.interpolate([1, 2], frames=9, output=output))  # type: ignore[arg-type]
        assert len(frames) == 10
        assert {(frame.shape, frame.dtype.type) for frame in frames} == {(shape, dtype)}


def test_classes_on_the_way(conditional: Generator) -> None:
    options: dict[str, Any] = {"frames": 2, "class_idx": [0, 4]}
    soft = frames_of(conditional, [7, 7], curve="slerp", **options)
    labels = np.array([[1, 0, 0, 0, 0], [0.5, 0, 0, 0, 0.5], [0, 0, 0, 0, 1]])
    assert same(conditional.generate([7] * 3, labels=labels, output="img"), soft)
    through_w = frames_of(conditional, [7, 7], curve="linear", **options)
    ws = conditional.styles([7, 7], class_idx=[0, 4])
    middle = conditional.synthesize(ws.mean(axis=0, keepdims=True), output="img")
    assert same(middle, through_w[1:2])
    assert same(soft[[0, 2]], through_w[[0, 2]])
    assert not same(soft[1:2], through_w[1:2])


@pytest.fixture(scope="module")
def tabled(bundle_of: Callable[[str], Path]) -> Iterator[Generator]:
    """Each of its ten classes has a mean of its own: StyleGAN-XL."""
    with Generator.open(bundle_of("field/xl-cond"), provider="cpu", precision="fp32") as opened:
        yield opened


def test_each_class_is_truncated_to_its_mean(tabled: Generator) -> None:
    assert tabled.w_avg.shape == (10, 24)
    ws = tabled.styles([1, 2, 3], class_idx=[0, 9, 4], truncation_psi=0)
    assert same(np.broadcast_to(tabled.w_avg[[0, 9, 4], None], ws.shape), ws)


@pytest.mark.parametrize("curve", ["linear", "cubic"])
def test_truncation_on_the_way_between_classes(tabled: Generator, curve: Any) -> None:
    """As far between the means as between the styles, so that it may come before or after."""
    options: dict[str, Any] = {"class_idx": [0, 9, 4], "truncation_psi": 0.6}
    times = [0, 0.3, 1, 1.5, 2]
    pulled = tabled.styles([1, 2, 3], **options)
    expected = tabled.styles_between(pulled, times, curve=curve)
    assert same(expected, tabled.styles_between([1, 2, 3], times, curve=curve, **options))
    assert same(pulled, expected[[0, 2, 4]])
    ws = tabled.styles([1, 2, 3], class_idx=[0, 9, 4], truncation_psi=1)
    assert same(expected, tabled.styles_between(ws, times, curve=curve, **options))
    wrong = tabled.styles_between(ws, times, curve=curve, class_idx=1, truncation_psi=0.6)
    assert not same(expected, wrong)
    frames = frames_of(tabled, ws, frames=1, curve=curve, **options)
    assert same(tabled.synthesize(pulled, output="img"), frames)


def test_styles_whose_class_nobody_said(tabled: Generator, refuses: Any) -> None:
    ws = tabled.styles([1, 2], class_idx=3, truncation_psi=1)
    assert same(ws, tabled.styles_between(ws, [0, 1]))
    with refuses(
        "truncation_psi: got 0.7 with ws", "a mean of its own", "Pass class_idx", "0 to 9"
    ):
        tabled.interpolate(ws, truncation_psi=0.7)
    with refuses("class_idx: got 3 classes, expected 1 or 2"):
        tabled.interpolate(ws, truncation_psi=0.7, class_idx=[0, 1, 2])


def test_classes_that_are_looked_up_do_not_turn(tabled: Generator, refuses: Any) -> None:
    options: dict[str, Any] = {"class_idx": 7, "truncation_psi": 0.7}
    middle = tabled.styles_between([1, 2], [0, 0.37, 1], curve="slerp", **options)
    assert same(tabled.styles([1, 2], **options), middle[[0, 2]])
    with refuses("curve: got 'slerp' with several classes", "expected 'linear' or 'cubic'"):
        tabled.interpolate([1, 2], curve="slerp", class_idx=[0, 1])
    with refuses("labels: got a mix of classes", "expected one class"):
        tabled.generate(1, labels={0: 1, 1: 1})
    with refuses("c: got a mix of classes"):
        tabled.map(np.ones((1, 16), np.float32), np.full(10, 0.1))


@pytest.fixture(scope="module")
def truncating(bundle_of: Callable[[str], Path]) -> Iterator[Generator]:
    """One of a family that truncates where nothing is asked for: StyleGAN 1."""
    with Generator.open(bundle_of("sg1-tf-32"), provider="cpu", precision="fp32") as opened:
        yield opened


@pytest.mark.parametrize("curve", ["linear", "slerp"])
def test_the_default_truncation_is_that_of_generate(truncating: Generator, curve: Any) -> None:
    assert truncating.spec.truncation_psi == 0.7
    expected = truncating.generate([1, 2], output="img")
    images = frames_of(truncating, [1, 2], frames=1, curve=curve)
    assert same(expected, images)
    ws = truncating.styles([1, 2], truncation_psi=1)  # which are drawn as they are
    assert same(truncating.synthesize(ws, output="img"), frames_of(truncating, ws, frames=1))
    mixed = truncating.mix([1], [2], layers="all", output="img")
    assert same(expected[1:], mixed[0])


def test_motions_on_the_way(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frame by frame, as StyleGAN3 takes them."""
    matrices, drawn = np.arange(9 * 21).reshape(21, 3, 3), []

    def synthesize(ws: np.ndarray, *, transform: np.ndarray, **options: Any) -> np.ndarray:
        assert len(transform) == len(ws)
        drawn.extend(transform)
        return np.zeros((len(ws), 32, 32, 3), np.uint8)

    monkeypatch.setattr(
        generator.inputs, "transforms", lambda options, batch: {"transform": matrices[:batch]}
    )
    monkeypatch.setattr(generator, "synthesize", synthesize)
    assert len(list(generator.interpolate([1, 2], frames=20, rotate=np.arange(21.0)))) == 21
    assert np.array_equal(drawn, matrices)


# --- Noise on the way.


def test_animated_noise(generator: Generator) -> None:
    fields = [
        {k: v[i : i + 1] for k, v in generator.inputs.noise.seeded([3, 4]).items()}
        for i in range(2)
    ]
    circle = NoiseLoop(*fields).at(np.arange(8) / 8 * 2)
    ws = np.repeat(generator.styles([1]), 8, axis=0)
    options: dict[str, Any] = {"frames": 4, "loop": True, "noise_mode": "animated"}
    images = frames_of(generator, [1, 1], noise_seed=[3, 4], noise_turns=2, **options)
    assert same(generator.synthesize(ws, noise=circle, output="img"), images)
    assert same(images[:4], images[4:])  # the second turn
    assert not same(images[:1], images[1:2])


@pytest.mark.parametrize(
    "options", [{}, {"noise_mode": "none"}, {"noise_mode": "seeded", "noise_seed": 5}]
)
def test_noise_that_stands_still(generator: Generator, options: dict[str, Any]) -> None:
    images = frames_of(generator, [1, 1], frames=9, **options)
    expected = generator.generate([1], output="img", **options)
    for image in images:
        assert same(expected, image[None])


# --- Frames are drawn when they are asked for.


class CountingSession:
    """A session that knows how many images it has drawn."""

    max_batch = 1000

    def __init__(self) -> None:
        self.drawn = 0

    def run(self, graphs: Any, feeds: Feeds, outputs: Any, **options: Any) -> list[np.ndarray]:
        if graphs == ("mapping",):
            return [np.zeros((feeds.count, 8, 64), np.float32)]
        assert feeds.count <= 4
        self.drawn += feeds.count
        return [np.zeros((feeds.count, 32, 32, 3), np.uint8)]

    def close(self) -> None:
        pass


class Tensor:
    """The array of another library."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        return self.array


@pytest.mark.parametrize(
    "held", [list, Tensor, np.ndarray.tolist, lambda ws: ws[::-1].copy()[::-1]]
)
def test_styles_may_be_held_by_anything(generator: Generator, held: Callable[..., Any]) -> None:
    ws = generator.styles([1, 2])
    for name in ("rows", "columns"):
        given = {"rows": ws, "columns": ws}
        drawn = generator.mix(**given, layers="coarse")
        assert np.array_equal(generator.mix(**given | {name: held(ws)}, layers="coarse"), drawn)
    between = generator.styles_between(held(ws), 0.25)
    assert np.array_equal(between, generator.styles_between(ws, 0.25))
    walk = frames_of(generator, held(ws), frames=2)
    assert np.array_equal(walk, frames_of(generator, ws, frames=2))


@pytest.mark.parametrize("curve", ["linear", "cubic", "slerp"])
def test_a_walk_goes_on_as_it_began(generator: Generator, curve: str) -> None:
    """Whoever asked for it may write to the keyframes before the last frame is drawn."""
    z = make_z([1, 2], generator.spec.z_dim)
    keyframes = z if curve == "slerp" else generator.styles([1, 2])
    expected = frames_of(generator, keyframes.copy(), frames=2, curve=curve)
    walk = generator.interpolate(keyframes, frames=2, curve=curve, output="img")  # type: ignore[arg-type]
    keyframes[:] = 1
    assert np.array_equal(np.stack(list(walk)), expected)


def test_frames_are_drawn_as_they_are_asked_for(bundle: Path) -> None:
    session = CountingSession()
    generator = Generator(Bundle.open(bundle), session, max_batch=4)  # type: ignore[arg-type]
    frames = generator.interpolate(range(1000), frames=1000, loop=True)
    assert session.drawn == 0
    assert len(list(itertools.islice(frames, 6))) == 6
    assert session.drawn == 8


INTERPOLATE_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"keyframes": [1]}, "keyframes: got 1, expected at least 2"),
    ({"keyframes": []}, "keyframes: got none, expected at least one"),
    ({"keyframes": [1, 1.5]}, "keyframes: got 1.5, expected integers"),
    ({"keyframes": np.ones((2, 63))}, "keyframes: got shape (2, 63), expected ('K', 8, 64), or"),
    ({"keyframes": np.ones(64)}, "keyframes: got shape (64,), expected ('K', 8, 64), or"),
    ({"keyframes": np.eye(2, 64) - np.eye(1, 64)}, "('K', 64) that are not zero"),
    ({"keyframes": np.ones((2, 7, 64))}, "keyframes: got shape (2, 7, 64), expected ('N', 8, 64)"),
    ({"keyframes": np.ones((2, 64)) * np.inf}, "keyframes: got NaN or infinity, expected"),
    ({"keyframes": np.ones((2, 8, 64)), "curve": "slerp"}, "curve: got 'slerp' with ws, expected"),
    ({"keyframes": np.ones((2, 8, 64)), "class_idx": 1}, "class_idx: got 1 with ws, expected None"),
    *(({"frames": frames}, "frames: got ") for frames in (0, -1, 1.5, "60", None, True)),
    *(({"curve": curve}, "curve: got ") for curve in ("spline", "", None, 3)),
    *(({"loop": loop}, "loop: got ") for loop in ("yes", None, 1)),
    *(({"output": output}, "output: got ") for output in ("png", None)),
    *(
        ({"truncation_psi": psi}, "truncation_psi: got ")
        for psi in (np.nan, "1", [0.5] * 3, np.ones((5, 7)))
    ),
    ({"truncation_cutoff": 9}, "truncation_cutoff: got 9, expected an integer of 0 to 8"),
    ({"class_idx": 0}, "class_idx: got 0, expected None: this generator is unconditional"),
    ({"noise_mode": "random"}, "noise_mode: got 'random', expected one of"),
    ({"noise_mode": "animated"}, "noise_seed: got None with noise_mode 'animated', expected"),
    ({"noise_mode": "seeded"}, "noise_seed: got None with noise_mode 'seeded', expected"),
    ({"noise_seed": 1}, "noise_seed: got one with noise_mode 'const', expected"),
    ({"noise_turns": np.nan}, "noise_turns: got nan, expected a finite number"),
    ({"noise_turns": 10**400}, "noise_turns: got 1000"),
    ({"noise_turns": np.complex64(1)}, "noise_turns: got "),
    ({"translate": (0.1, 0)}, "translate: this generator cannot move its pictures, expected None"),
]


@pytest.mark.parametrize(("options", "message"), INTERPOLATE_REFUSED)
def test_interpolate_refuses_at_once(
    generator: Generator, refuses: Any, options: dict[str, Any], message: str
) -> None:
    with refuses(message, "expected "):
        generator.interpolate(**{"keyframes": [1, 2], "frames": 4} | options)


def test_interpolate_refuses_classes(conditional: Generator, refuses: Any) -> None:
    z = np.ones((2, 64), np.float32)
    with refuses("class_idx, labels: got neither, expected a class of 0 to 4"):
        conditional.interpolate(z)
    for options in ({"class_idx": [0, 1, 2]}, {"class_idx": 5}, {"labels": np.ones((3, 5))}):
        with refuses("expected "):
            conditional.interpolate([1, 2], **options)
