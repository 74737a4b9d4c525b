"""Moving and turning pictures: the matrices, what is refused, and StyleGAN3's pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.runtime.backends.onnxruntime import OnnxRuntimeSession
from stylert.runtime.bundle import Bundle
from stylert.runtime.feeds import Feeds
from stylert.runtime.generator import Generator
from stylert.runtime.images import to_uint8
from stylert.runtime.proof.parity import TOLERANCES, Tolerance, compare
from stylert.runtime.transforms import invert_transforms, make_transform_inputs

NAME = "sg3-r-64"


def matrices(*, batch: int = 1, **given: Any) -> np.ndarray:
    asked = {"transform": None, "translate": None, "rotate": None, **given}
    return make_transform_inputs(**asked, batch=batch, taken=True)["transform"]


# --- The matrices.


def test_they_are_those_of_the_original_tools(goldens: Path) -> None:
    facts = json.loads((goldens / f"{NAME}.json").read_text())["transform"]
    with np.load(goldens / f"{NAME}.npz") as arrays:
        expected = arrays["user_transform"]
    got = matrices(translate=facts["translate"], rotate=facts["angle_degrees"])
    assert got.dtype == np.float32
    np.testing.assert_allclose(got[0], expected, atol=1e-7)


def test_they_are_the_inverse_of_turning_and_then_moving() -> None:
    random = np.random.RandomState(0)
    translate, rotate = random.uniform(-1, 1, (5, 2)), random.uniform(-400, 400, 5)
    for matrix, (x, y), degrees in zip(
        invert_transforms(translate, rotate), translate, rotate, strict=True
    ):
        cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        forward = np.array([[cos, sin, x], [-sin, cos, y], [0, 0, 1]])
        np.testing.assert_allclose(matrix @ forward, np.eye(3), atol=1e-6)


def test_nothing_asked_is_the_identity() -> None:
    np.testing.assert_array_equal(matrices(batch=3), [np.eye(3)] * 3)
    full_turn = matrices(translate=(0, 0), rotate=360)
    np.testing.assert_allclose(full_turn, [np.eye(3)], atol=1e-12)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_one_for_all_or_one_for_each(batch: int) -> None:
    for_all = matrices(batch=batch, translate=(0.5, -0.25), rotate=30)
    assert for_all.shape == (batch, 3, 3)
    assert (for_all == for_all[0]).all()
    np.testing.assert_array_equal(matrices(batch=batch, transform=for_all[0]), for_all)
    np.testing.assert_array_equal(matrices(batch=batch, transform=for_all[:1]), for_all)
    shifts, angles = np.arange(2 * batch).reshape(batch, 2), [10 * i for i in range(batch)]
    for_each = matrices(batch=batch, translate=shifts, rotate=angles)
    for i, matrix in enumerate(for_each):
        np.testing.assert_array_equal(matrix, matrices(translate=shifts[i], rotate=angles[i])[0])
    np.testing.assert_array_equal(matrices(batch=batch, transform=for_each), for_each)


def test_graphs_without_the_input_get_none() -> None:
    assert make_transform_inputs(None, None, None, batch=2, taken=False) == {}


PERSPECTIVE = [[1, 0, 0], [0, 1, 0], [0.1, 0, 1]]
REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "one number": ({"translate": 0.5}, ("translate: got shape (1,)", "(2,) or (2, 2)")),
    "three numbers": ({"translate": (1, 2, 3)}, ("translate: got shape (3,)",)),
    "too many": ({"translate": [(1, 2)] * 3}, ("translate: got shape (3, 2)",)),
    "ragged": ({"translate": [(1, 2), (3,)]}, ("translate: got a ragged list",)),
    "text": ({"translate": "0,1"}, ("translate: got '0,1', expected floats.",)),
    "nan": ({"translate": (np.nan, 0)}, ("translate: got NaN or infinity",)),
    "far": ({"translate": (0, -1e4)}, ("translate: got 1e+04, expected up to 1000",)),
    "angles": ({"rotate": [1, 2, 3]}, ("rotate: got shape (3,), expected a number or (2,)",)),
    "no angle": ({"rotate": True}, ("rotate: got True, expected floats.",)),
    "turns": ({"rotate": 1e9}, ("rotate: got 1e+09, expected up to 1e+06",)),
    "infinite": ({"rotate": 1e300}, ("rotate: got NaN or infinity",)),
    "complex": ({"transform": np.eye(3, dtype=complex)}, ("transform: got dtype complex128",)),
    "2 x 3": ({"transform": np.eye(3)[:2]}, ("transform: got shape (2, 3)", "(3, 3)")),
    "perspective": ({"transform": PERSPECTIVE}, ("transform: got another last row than 0 0 1",)),
    "both": ({"transform": np.eye(3), "rotate": 1}, ("transform: got rotate as well",)),
    "both zero": (
        {"transform": np.eye(3), "translate": (0, 0)},
        ("transform: got translate as well",),
    ),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused(refuses: Any, name: str) -> None:
    given, words = REFUSED[name]
    with refuses(*words):
        matrices(batch=2, **given)


@pytest.mark.parametrize("given", [{"rotate": 0}, {"translate": (0, 0)}, {"transform": np.eye(3)}])
def test_other_families_refuse_it(
    generator: Generator, refuses: Any, given: dict[str, Any]
) -> None:
    ws = np.zeros((1, generator.spec.num_ws, generator.spec.w_dim), np.float32)
    for call in (lambda: generator.generate(1, **given), lambda: generator.synthesize(ws, **given)):
        with refuses(f"{next(iter(given))}: this generator cannot move", "Only StyleGAN3"):
            call()


# --- The pictures.


@pytest.fixture(scope="module")
def moving(bundle_of: Callable[[str], Path]) -> Iterator[Generator]:
    with Generator.open(bundle_of(NAME), provider="cpu", max_batch=2, threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def arrays(goldens: Path) -> dict[str, np.ndarray]:
    with np.load(goldens / f"{NAME}.npz") as file:
        return dict(file)


def same(expected: np.ndarray, got: np.ndarray) -> bool:
    return compare(expected, got).within(TOLERANCES["fp32"])


def test_pictures_are_the_official_ones(moving: Generator, arrays: dict[str, np.ndarray]) -> None:
    """Three images are more than one part."""
    ws = arrays["ws_psi1"][:3]
    still, moved = arrays["img_const"][:3], arrays["img_transform"][:3]
    matrix = arrays["user_transform"]
    assert same(still, moving.synthesize(ws, output="img"))
    assert same(moved, moving.synthesize(ws, transform=matrix, output="img"))
    friendly = moving.synthesize(ws, translate=(0.1, 0.1), rotate=20, output="img")
    assert same(moved, friendly)
    drawn = moving.synthesize(ws, transform=matrix)
    assert np.abs(to_uint8(moved).astype(int) - drawn).max() <= 1
    each = np.stack([np.eye(3), matrix, np.eye(3)])
    mixed = moving.synthesize(ws, transform=each, output="img")
    assert same(np.stack([still[0], moved[1], still[2]]), mixed)


def test_a_picture_turns_counter_clockwise_and_moves_right_and_down(moving: Generator) -> None:
    """StyleGAN3-R does both exactly; the picture has 64 pixels."""
    angles, shifts = (0, 90, 0, 0), ((0, 0), (0, 0), (0.25, 0), (0, 0.25))
    images = moving.generate([3] * 4, rotate=angles, translate=shifts, output="img")
    still, turned, right, down = images
    for expected, got in (
        (np.rot90(still, axes=(1, 2)), turned),
        (still[:, :, :48], right[:, :, 16:]),
        (still[:, :48], down[:, 16:]),
    ):
        # Of other Fourier features, so that this is more than rounding.
        assert compare(expected, got).within(Tolerance(max_abs=1e-4, psnr_db=70))


def test_every_call_of_the_session_has_a_matrix_for_each_image(
    moving: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    run = OnnxRuntimeSession.run

    def watched(
        session: OnnxRuntimeSession, graphs: Any, feeds: Feeds, *rest: Any, **on: Any
    ) -> Any:
        sizes.append((feeds.rows["z"].shape[:1], feeds.rows["transform"].shape))
        return run(session, graphs, feeds, *rest, **on)

    monkeypatch.setattr(OnnxRuntimeSession, "run", watched)
    moving.generate([1, 2, 3])
    moving.generate([1, 2, 3], rotate=3)
    assert sizes == [((2,), (2, 3, 3)), ((1,), (1, 3, 3))] * 2


def test_the_manifest_tells_of_the_input(bundle_of: Callable[[str], Path]) -> None:
    bundle = Bundle.open(bundle_of(NAME))
    inputs = {t.name: (t.dtype, t.shape) for t in bundle.graphs["synthesis"].inputs}
    assert inputs["transform"] == ("float32", ("N", 3, 3))
    assert inputs.keys() == {"ws", "transform"}
    assert bundle.family == "stylegan3"
    assert bundle.read_noise() == {}
