"""Directions with a generator: those of its bundle, those that it finds, and what they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import EngineError
from stylert.runtime.generator import Generator

SIZE = (8, 64)  # num_ws, w_dim


@pytest.fixture(scope="module")
def large(bundle_of: Callable[[str], Path]) -> Iterator[Generator]:
    """64x64: one that has fine layers."""
    with Generator.open(bundle_of("sg2-fp16-64"), provider="cpu", precision="fp32") as opened:
        yield opened


# --- The bundle's directions.


def test_the_directions_of_a_bundle(large: Generator) -> None:
    names = [
        f"sefa_{group}_{i}" for group in ("all", "coarse", "middle", "fine") for i in range(20)
    ]
    assert list(large.directions) == names
    for name, direction in large.directions.items():
        assert direction.shape == (large.spec.num_ws, large.spec.w_dim)
        rows = large.layer_groups[name.split("_")[1]]
        np.testing.assert_allclose(np.linalg.norm(direction[list(rows)], axis=1), 1, rtol=1e-5)
        others = [i for i in range(large.spec.num_ws) if i not in rows]
        assert not direction[others].any()


def test_directions_are_read_once(large: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    first = large.directions
    monkeypatch.setattr(Bundle, "read_directions", lambda self: 1 / 0)
    assert large.directions["sefa_all_0"] is first["sefa_all_0"]


def test_another_bundle_has_directions_of_its_own(large: Generator, generator: Generator) -> None:
    first = generator.directions["sefa_all_0"]
    before = generator.bundle
    generator.bundle = large.bundle  # as `refit` does
    try:
        assert "sefa_fine_0" in generator.directions
    finally:
        generator.bundle = before
    assert np.array_equal(generator.directions["sefa_all_0"], first)


def test_a_strong_direction_changes_more_than_a_weak_one(large: Generator) -> None:
    ws = large.styles(range(8))
    plain = large.synthesize(ws, output="img")

    def change(direction: np.ndarray) -> float:
        edited = large.edit(ws, direction, 1, layers="middle")
        return float(np.square(large.synthesize(edited, output="img") - plain).mean())

    (middle,) = (s for s in large.bundle.read_directions() if s.name == "sefa_middle")
    strong = np.mean([change(v) for v in middle.vectors[:5]])
    random = np.random.RandomState(0).randn(5, large.spec.w_dim).astype(np.float32)
    usual = np.mean([change(v / np.linalg.norm(v)) for v in random])
    assert strong > 1.2 * usual


# --- Edits.


def test_edit_is_a_step_in_its_layers(generator: Generator) -> None:
    ws, direction = generator.styles([1, 2]), np.linspace(-1, 1, 64)
    for layers, rows in (("all", range(8)), ("coarse", range(3)), ("2,5-6", (2, 5, 6)), ([7], [7])):
        expected = ws.copy()
        expected[:, list(rows)] += 3 * direction.astype(np.float32)
        np.testing.assert_allclose(generator.edit(ws, direction, 3, layers=layers), expected)
    step = np.random.RandomState(0).randn(*SIZE)
    np.testing.assert_allclose(generator.edit(ws, step, -2), ws - 2 * step.astype(np.float32))


def test_edit_by_name_and_by_array_are_the_same(generator: Generator) -> None:
    ws = generator.styles([1, 2])
    by_name = generator.edit(ws, "sefa_coarse_1", 4)
    assert np.array_equal(by_name, generator.edit(ws, generator.directions["sefa_coarse_1"], 4))
    assert np.array_equal(by_name[:, 3:], ws[:, 3:])
    assert (by_name[:, :3] != ws[:, :3]).any(axis=2).all()


@pytest.mark.parametrize("strength", [[1, 2], (1.0, 2.0), np.array([1, 2], np.float64)])
def test_a_strength_for_each(generator: Generator, strength: Any) -> None:
    ws, direction = generator.styles([1, 2]), np.ones(64)
    got = generator.edit(ws, direction, strength)
    np.testing.assert_allclose(got[0], ws[0] + 1, rtol=1e-6)
    np.testing.assert_allclose(got[1], ws[1] + 2, rtol=1e-6)
    strip = generator.edit(ws[:1], direction, [-1, 0, 1])
    assert strip.shape == (3, *SIZE)
    np.testing.assert_allclose(strip, ws[:1] + np.array([-1, 0, 1])[:, None, None], rtol=1e-5)


@pytest.mark.parametrize("strength", [2, 2.0, np.float64(2), np.array(2), [2], np.array([2])])
def test_one_strength(generator: Generator, strength: Any) -> None:
    ws = generator.styles([1, 2])
    np.testing.assert_allclose(generator.edit(ws, np.ones(64), strength), ws + 2, rtol=1e-6)


WS = np.ones((2, *SIZE), np.float32)
EDIT_REFUSED: list[tuple[dict[str, Any], str]] = [
    *(({"ws": ws}, "ws: got ") for ws in (WS[0], WS[:, :7], WS[:0], WS * np.nan, "ws", None, 1)),
    *(
        ({"direction": direction}, "direction: got ")
        for direction in ("smile", "", "sefa_fine_0", None, 1.0, np.ones(63), np.ones((7, 64)))
    ),
    *(
        ({"direction": direction}, "direction: got ")
        for direction in (WS, np.ones(64, int), np.full(64, np.inf), [["a"]])
    ),
    *(
        ({"strength": strength}, "strength: got ")
        for strength in ("3", None, True, np.nan, 1j, [1, 2, 3], [], np.ones((2, 1)), [[1.0], 2.0])
    ),
    *(({"layers": layers}, "layers: got ") for layers in ("rough", 8, None, [], "fine")),
]


@pytest.mark.parametrize(("options", "message"), EDIT_REFUSED)
def test_edit_refuses(
    generator: Generator, refuses: Any, options: dict[str, Any], message: str
) -> None:
    with refuses(message, "expected "):
        generator.edit(**{"ws": WS, "direction": np.ones(64), "strength": 1} | options)


def test_an_unknown_direction_says_what_there_is(generator: Generator, refuses: Any) -> None:
    with refuses("got 'smile', expected one of 'sefa_all_0', 'sefa_all_1', 'sefa_all_2', ..."):
        generator.edit(WS, "smile", 1)


def test_a_bundle_without_directions(
    bundle: Path, refuses: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bundle, "read_directions", lambda self: ())
    with Generator.open(bundle, provider="cpu") as generator:
        assert generator.directions == {}
        with refuses("direction: got 'sefa_all_0', expected an array: this bundle has none"):
            generator.edit(WS, "sefa_all_0", 1)


# --- Principal components.


def stretched(generator: Generator, deviations: np.ndarray) -> Any:
    """A mapping whose w has these standard deviations along the axes."""

    def mapping(z: np.ndarray, c: Any = None, *, truncation_psi: Any = None) -> np.ndarray:
        assert truncation_psi == 1
        return np.repeat((z * deviations + 5)[:, None], generator.spec.num_ws, axis=1)

    return mapping


def test_pca_finds_the_axes_of_a_stretched_mapping(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Generator.open(bundle, provider="cpu") as generator:
        deviations = np.full(64, 0.1)
        deviations[[7, 30, 2]] = 8, 4, 2
        monkeypatch.setattr(generator, "map", stretched(generator, deviations))
        found = generator.pca(5000, k=3)
    assert found.components.shape == (3, 64)
    assert np.abs(found.components).argmax(axis=1).tolist() == [7, 30, 2]
    np.testing.assert_allclose(found.components.max(axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(found.stddev, [8, 4, 2], rtol=0.05)
    np.testing.assert_allclose(found.mean, 5, atol=0.5)


def test_pca_of_a_generator(generator: Generator) -> None:
    found = generator.pca(300, k=5)
    ws = generator.map(np.random.RandomState(0).randn(300, 64), truncation_psi=1)[:, 0]
    np.testing.assert_allclose(found.mean, ws.mean(axis=0), atol=1e-5)
    along = (ws - ws.mean(axis=0)) @ found.components.T
    np.testing.assert_allclose(along.std(axis=0, ddof=1), found.stddev, rtol=1e-3)
    again, other = generator.pca(300, k=5), generator.pca(300, k=5, seed=1)
    assert np.array_equal(found.components, again.components)
    assert not np.allclose(found.components, other.components, atol=1e-2)
    edited = generator.edit(generator.styles([1]), found.direction(0), 2, layers="coarse")
    step = edited[0, 0] - generator.styles([1])[0, 0]
    np.testing.assert_allclose(step @ found.components[0], 2 * found.stddev[0], rtol=1e-3)


def test_pca_of_a_class(conditional: Generator) -> None:
    one, other = (conditional.pca(200, k=2, class_idx=i) for i in (0, 1))
    assert not np.allclose(one.mean, other.mean, atol=1e-3)
    ws = conditional.map(np.random.RandomState(0).randn(200, 64), np.eye(5)[0], truncation_psi=1)
    np.testing.assert_allclose(one.mean, ws[:, 0].mean(axis=0), atol=1e-5)
    assert np.array_equal(one.mean, conditional.pca(200, k=2, labels=[1, 0, 0, 0, 0]).mean)


PCA_REFUSED: list[tuple[dict[str, Any], str]] = [
    *(({"samples": n}, "samples: got ") for n in (1, 0, -1, 1.5, "9", None, True, 10**9)),
    *(({"k": k}, "k: got ") for k in (0, 65, 1.5, None, True)),
    *(({"seed": seed}, "seed: got ") for seed in (-1, 2**32, None, "1", [1], 1.5)),
    ({"class_idx": 0}, "class_idx: got 0, expected None: this generator is unconditional"),
]


@pytest.mark.parametrize(("options", "message"), PCA_REFUSED)
def test_pca_refuses(
    generator: Generator, refuses: Any, options: dict[str, Any], message: str
) -> None:
    with refuses(message, "expected "):
        generator.pca(**options)


def test_pca_of_all_classes_takes_them_in_turns(conditional: Generator) -> None:
    z = np.random.RandomState(0).randn(203, 64)
    ws = conditional.map(z, np.eye(5)[np.arange(203) % 5], truncation_psi=1)[:, 0]
    components = conditional.pca(203, k=2)
    np.testing.assert_allclose(components.mean, ws.mean(axis=0), atol=1e-5)


def test_pca_is_of_one_class(conditional: Generator, refuses: Any) -> None:
    with refuses("class_idx: got 2 classes, expected 1."):
        conditional.pca(class_idx=[0, 1])  # type: ignore[arg-type]


# --- Files.


def test_styles_and_directions_from_files(generator: Generator, tmp_path: Path) -> None:
    ws = generator.styles([1])
    np.savez(tmp_path / "projected_w.npz", w=ws)
    assert np.array_equal(generator.load_ws(tmp_path / "projected_w.npz"), ws)
    np.savez(tmp_path / "several.npz", a=ws, b=2 * ws)
    assert np.array_equal(generator.load_ws(tmp_path / "several.npz", key="b"), 2 * ws)
    np.save(tmp_path / "smile.npy", ws[0, 0])
    smile = generator.load_direction(tmp_path / "smile.npy")
    np.testing.assert_allclose(generator.edit(ws, smile, 1), ws + ws[:, :1], rtol=1e-6)


def test_after_close_there_are_still_directions_and_no_components(bundle: Path) -> None:
    generator = Generator.open(bundle, provider="cpu")
    generator.close()
    assert generator.directions
    with pytest.raises(EngineError, match="closed"):
        generator.pca()
