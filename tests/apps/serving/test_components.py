"""The components of a service: found once for each class, and the least used are forgotten."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stylert.apps.serving.components import Components
from stylert.runtime.control.pca import PrincipalComponents
from stylert.runtime.errors import EngineError
from stylert.runtime.generator import Generator


class Finder:
    """Notes the classes that it is asked for."""

    def __init__(self) -> None:
        self.asked: list[int | None] = []

    def __call__(self, *, k: int, class_idx: int | None) -> PrincipalComponents:
        self.asked.append(class_idx)
        rows = np.eye(k, dtype=np.float32)
        deviations = np.full(k, 1.0 if class_idx is None else class_idx, np.float32)
        return PrincipalComponents(rows[0], rows, deviations, deviations)


@pytest.fixture
def components(generator: Generator) -> Components:
    return Components(generator.spec)


def test_each_class_is_found_once(components: Components) -> None:
    find = Finder()
    for name in ("pca:0", "pca:1", "pca:0"):
        components.find_direction(name, None, None, find)
    assert components.find_direction("pca:1", 4, None, find).tolist()[:3] == [0, 4, 0]
    assert find.asked == [None, 4]


def test_the_least_used_are_forgotten(components: Components) -> None:
    find = Finder()
    for class_idx in range(64):
        components.find_direction("pca:0", class_idx, None, find)
    components.find_direction("pca:0", 0, None, find)
    components.find_direction("pca:0", 64, None, find)  # takes the place of 1
    for class_idx in (0, 64, 1):
        components.find_direction("pca:0", class_idx, None, find)
    assert find.asked == [*range(65), 1]


def test_what_failed_is_tried_again(components: Components) -> None:
    def fail(**_: Any) -> PrincipalComponents:
        raise EngineError("The GPU is gone.")

    with pytest.raises(EngineError):
        components.find_direction("pca:0", None, None, fail)
    assert components.find_direction("pca:0", None, None, Finder())[0] == 1


@pytest.mark.parametrize("name", ["pca:", "pca:-1", "xpca:0", "sefa_coarse_0"])
def test_other_names_are_the_bundles(components: Components, name: str) -> None:
    find = Finder()
    assert components.find_direction(name, None, None, find) == name
    assert find.asked == []


def test_there_are_only_so_many(components: Components, refuses: Any) -> None:
    with refuses("directions: got 'pca:999', expected up to 'pca:19'"):
        components.find_direction("pca:999", None, None, Finder())
    with refuses("directions: got 'pca:0', expected class_idx, one for all images"):
        components.find_direction("pca:0", [1, 2], None, Finder())
