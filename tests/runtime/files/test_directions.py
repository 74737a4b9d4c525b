"""The directions of a bundle: the file's arrays there and back, and arrays that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.runtime.bundle import Bundle
from stylert.runtime.errors import BundleError
from stylert.runtime.files.directions import (
    DirectionSet,
    make_direction_arrays,
    name_directions,
    read_direction_sets,
)
from stylert.tests.manifests import list_file

VECTORS = np.array([[1, 0], [0, -1]], np.float32)
SETS = (
    DirectionSet("one", VECTORS, np.array([4, 2], np.float32), np.array([0, 2])),
    DirectionSet("two", VECTORS[:1], np.array([7], np.float32), np.array([1])),
)


def test_there_and_back() -> None:
    arrays = make_direction_arrays(SETS)
    assert sorted(arrays) == [
        *("one.eigenvalues", "one.layers", "one.vectors"),
        *("two.eigenvalues", "two.layers", "two.vectors"),
    ]
    sets = read_direction_sets(arrays, num_ws=3, w_dim=2)
    assert [s.name for s in sets] == ["one", "two"]
    for before, after in zip(SETS, sets, strict=True):
        for field in ("vectors", "eigenvalues", "layers"):
            assert np.array_equal(getattr(before, field), getattr(after, field))


def test_a_row_for_people() -> None:
    assert SETS[0].names == ("one_0", "one_1")
    assert SETS[0].row() == {"directions": "one_0 to one_1", "layers": "0,2"}


def test_directions_by_name() -> None:
    named = name_directions(SETS, num_ws=3)
    assert {name: array.tolist() for name, array in named.items()} == {
        "one_0": [[1, 0], [0, 0], [1, 0]],
        "one_1": [[0, -1], [0, 0], [0, -1]],
        "two_0": [[0, 0], [1, 0], [0, 0]],
    }
    for array in named.values():
        assert array.dtype == np.float32
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no layers": lambda a: a.pop("one.layers"),
    "no eigenvalues": lambda a: a.pop("one.eigenvalues"),
    "another w": lambda a: a.update({"one.vectors": np.ones((2, 3), np.float32)}),
    "vectors of rank 1": lambda a: a.update({"one.vectors": np.ones(2, np.float32)}),
    "vectors of rank 0": lambda a: a.update({"one.vectors": np.float32(1)}),
    "float64": lambda a: a.update({"one.vectors": VECTORS.astype(np.float64)}),
    "fewer eigenvalues": lambda a: a.update({"one.eigenvalues": np.ones(1, np.float32)}),
    "a layer too many": lambda a: a.update({"one.layers": np.array([99])}),
    "a negative layer": lambda a: a.update({"one.layers": np.array([-1])}),
    "layers of rank 2": lambda a: a.update({"one.layers": np.array([[0]])}),
    "float layers": lambda a: a.update({"one.layers": np.array([0.0])}),
    "none": lambda a: a.update(
        {"one.vectors": VECTORS[:0], "one.eigenvalues": np.ones(0, np.float32)}
    ),
    "NaN": lambda a: a.update({"one.vectors": VECTORS * np.nan}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_arrays_that_do_not_fit(change: Callable[[dict[str, Any]], Any]) -> None:
    arrays = make_direction_arrays(SETS)
    change(arrays)
    with pytest.raises((ValueError, KeyError), match="one"):
        read_direction_sets(arrays, num_ws=3, w_dim=2)


def test_a_name_that_would_steer_the_terminal() -> None:
    arrays = make_direction_arrays([replace(SETS[0], name="one\x1b[31m")])
    with pytest.raises(ValueError, match="is no printable name"):
        read_direction_sets(arrays, num_ws=3, w_dim=2)


def test_memory_is_bounded_before_it_is_taken() -> None:
    """A set is small in the file, and num_ws times as large by name."""
    arrays = make_direction_arrays(SETS)
    with pytest.raises(ValueError, match="its directions take 1440000000 bytes by name, expected"):
        read_direction_sets(arrays, num_ws=60_000_000, w_dim=2)


# --- In a bundle. Here the checksums are not compared, so that what is behind them is reached.


def test_a_bundle_has_directions(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    assert "directions.npz" in opened.manifest["files"]
    sets = {s.name: s for s in opened.read_directions()}
    assert list(sets) == ["sefa_all", "sefa_coarse", "sefa_middle"]  # 32 pixels have no fine ones
    assert sets["sefa_all"].vectors.shape == (20, opened.spec.w_dim)
    assert sets["sefa_coarse"].layers.tolist() == [0, 1, 2]


def test_an_older_bundle_has_none(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    files = {k: v for k, v in opened.manifest["files"].items() if k != "directions.npz"}
    older = replace(opened, manifest={**opened.manifest, "files": files})
    assert older.read_directions() == ()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_damaged_file_in_a_bundle(
    bundle_copy: Path, refuses: Any, change: Callable[[dict[str, Any]], Any]
) -> None:
    arrays = make_direction_arrays(
        [DirectionSet("one", np.eye(64, dtype=np.float32), np.ones(64, np.float32), np.arange(3))]
    )
    change(arrays)
    np.savez(bundle_copy / "directions.npz", **arrays)
    list_file(bundle_copy, "directions.npz")
    opened = Bundle.open(bundle_copy)
    with refuses("cannot read directions.npz", "Export the checkpoint again", error=BundleError):
        opened.read_directions()


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04.", b"\x93NUMPY"])
def test_a_file_that_is_no_archive(bundle_copy: Path, refuses: Any, content: bytes) -> None:
    (bundle_copy / "directions.npz").write_bytes(content)
    list_file(bundle_copy, "directions.npz")
    opened = Bundle.open(bundle_copy)
    with refuses("cannot read directions.npz", "Export the checkpoint again", error=BundleError):
        opened.read_directions()
