"""Classes and labels: numbers, names, mixes, and what happens without any of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stylert.runtime.labels import Classes, check_class_names

PETS = Classes(3, ("cat", "dog", "fish"))


def test_labels() -> None:
    eye = np.eye(3, dtype=np.float32)
    got = [
        (Classes(3).make_labels(1, None, batch=2), eye[[1, 1]]),
        (Classes(3).make_labels([2], None, batch=2), eye[[2, 2]]),
        (Classes(3).make_labels(np.array([2, 0]), None, batch=2), eye[[2, 0]]),
        (Classes(3).make_labels(None, [0.0, 0.5, -2], batch=2), [[0, 0.5, -2]] * 2),
        (Classes(3).make_labels(None, eye[:2], batch=2), eye[:2]),
        (Classes(3).make_labels(None, [0, 0, 1], batch=2), eye[[2, 2]]),
        (Classes(3).make_labels(None, eye[:2] > 0, batch=2), eye[:2]),
        (Classes(3).make_soft_labels(eye[1:2].astype(np.uint8), batch=2), eye[[1, 1]]),
        (Classes(3).make_soft_labels(eye[1:2], batch=2), eye[[1, 1]]),
    ]
    for labels, expected in got:
        assert labels is not None
        assert labels.dtype == np.float32
        assert np.array_equal(labels, expected)
    assert Classes(0).make_labels(None, None, batch=2) is None
    assert Classes(0).make_soft_labels(None, batch=2) is None


APART = Classes(3, apart=True)


def test_classes_that_are_apart() -> None:
    eye = np.eye(3, dtype=np.float32)
    for got in (
        APART.make_labels([2, 0], None, batch=2),
        APART.make_labels(None, eye[[2, 0]], batch=2),
        APART.make_labels(None, [[0, 0, True], [1, 0, 0]], batch=2),
        APART.make_soft_labels(eye[[2, 0]].astype(np.uint8), batch=2, name="c"),
    ):
        assert got is not None
        assert np.array_equal(got, eye[[2, 0]])
    assert APART.make_labels(None, {1: 0.2, 0: 0}, batch=1).tolist() == [[0, 1, 0]]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "labels",
    [[0.5, 0.5, 0], [1, 1, 0], [0, 0, 0], [0, 2, 0], [1, 1e-9, 0], [1, -1, 1], {0: 1, 1: 1}],
)
def test_classes_that_are_apart_are_not_mixed(refuses: Any, labels: Any) -> None:
    for name in ("labels", "c"):
        with refuses(f"{name}: got a mix of classes", "expected one class", "Blend styles"):
            APART.make_soft_labels(labels, batch=2, name=name)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({1: 1}, [0, 1, 0]),
        ({2: 0.5, 0: 1.5}, [0.75, 0, 0.25]),
        ({np.int64(0): np.float32(2), 1: 0}, [1, 0, 0]),
    ],
)
def test_a_mix_of_classes_by_weight(weights: Any, expected: Any) -> None:
    got = Classes(3).make_labels(None, weights, batch=2)
    assert got is not None
    assert got.dtype == np.float32
    assert got.tolist() == [expected, expected]


@pytest.mark.parametrize(
    "weights",
    [
        *({}, {3: 1}, {-1: 1}, {"1": 1}, {1.0: 1}, {1: -1, 0: 2}, {1: 0}, {1: "x"}, {1: None}),
        *({1: np.nan}, {1: [1]}, {0: [1, 2], 1: 1}, {1: 1e300}, {1: True}),
    ],
)
def test_a_mix_of_classes_that_is_refused(refuses: Any, weights: Any) -> None:
    with refuses("labels: got ", "expected "):
        Classes(3).make_labels(None, weights, batch=2)


def test_names_are_classes() -> None:
    eye = np.eye(3)
    assert np.array_equal(PETS.make_labels("dog", None, batch=2), eye[[1, 1]])
    assert np.array_equal(PETS.make_labels(["fish", 0], None, batch=2), eye[[2, 0]])
    assert PETS.make_labels(None, {"cat": 1, 1: 3}, batch=1).tolist() == [[0.25, 0.75, 0]]
    assert PETS.make_labels(None, {"cat": 1, 0: 1}, batch=1).tolist() == [[1, 0, 0]]
    assert PETS.find(np.array([2, 0])) == [2, 0]
    assert PETS.find(np.array(2)) == [2]


def test_without_a_class_it_is_the_seed_mod_their_number(refuses: Any) -> None:
    labels = PETS.make_labels(None, None, batch=3, seeds=[1, 2**32 - 1, 5])
    assert np.array_equal(labels, np.eye(3)[[1, 0, 2]])
    with refuses("class_idx, labels: got neither, expected a class of 'cat', 'dog', 'fish', or 0"):
        PETS.make_labels(None, None, batch=3)


@pytest.mark.parametrize(
    ("class_idx", "message"),
    [
        ("bird", "class_idx: got 'bird', expected 'cat', 'dog', 'fish', or 0 to 2"),
        ("1", "class_idx: got '1', expected 'cat'"),
        (3, "class_idx: got 3, expected 0 to 2"),
        (["cat", None], "class_idx: got None, expected integers"),
        ([], "class_idx: got none, expected at least one"),
        (b"cat", "class_idx: got b'cat', expected integers"),
        ([0, 1], "class_idx: got 2 classes, expected 1 or 3"),
    ],
)
def test_classes_that_are_not_there(refuses: Any, class_idx: Any, message: str) -> None:
    with refuses(message):
        PETS.make_labels(class_idx, None, batch=3)


def test_many_names_are_not_all_shown(refuses: Any) -> None:
    many = Classes(1000, tuple(f"class {i}" for i in range(1000)))
    with refuses("expected 'class 0', 'class 1', 'class 2', 'class 3', 'class 4', 'class 5', ..."):
        many.find("x")
    with refuses("class_idx: got 'x', expected 0 to 9"):
        Classes(10).find("x")


@pytest.mark.parametrize(
    "names",
    [
        ("a",),
        ("a", "a"),
        ("a", ""),
        ("a", " b"),
        ("a", "b,c"),
        ("a", "1"),
        ("a", "b" * 101),
        ("a", 1),
    ],
)
def test_names_that_would_be_misread(names: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        check_class_names(Classes(2, names))
