"""The inputs of the graphs: the family's own where nothing is asked for, and a row an image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.runtime.bundle import Bundle
from stylert.runtime.generator import Generator
from stylert.runtime.graph_inputs import GraphInputs


@pytest.fixture(scope="module")
def stylegan1(bundle_of: Callable[[str], Path]) -> GraphInputs:
    """Of a family that truncates by itself."""
    return GraphInputs(Bundle.open(bundle_of("sg1-tf-32")))


def test_the_default_psi_comes_with_its_cutoff(stylegan1: GraphInputs) -> None:
    psi = stylegan1.psi(None, None, batch=2)
    assert psi.dtype == np.float32
    assert psi.shape == (2, 8)
    np.testing.assert_allclose(psi, 0.7)  # the cutoff of 8 layers is no limit for these 8
    assert stylegan1.psi(None, 3, batch=1).tolist()[0][3:] == [1] * 5
    assert stylegan1.psi({"coarse": 0.25}, None, batch=1).tolist() == [[0.25] * 4 + [1] * 4]


def test_the_mapping_takes_labels_where_there_are_classes(
    generator: Generator, conditional: Generator
) -> None:
    z = np.zeros((3, 64))
    assert set(generator.inputs.feed_latents(z, None, 0.5, 2).rows) == {"z", "truncation_psi"}
    feeds = conditional.inputs.feed_latents(z, [0, 1, 0, 0, 0], 0.5, 2).rows
    assert {name: rows.shape for name, rows in feeds.items()} == {
        "z": (3, 64),
        "truncation_psi": (3, 8),
        "c": (3, 5),
    }
    assert {rows.dtype.name for rows in feeds.values()} == {"float32"}


def test_only_some_graphs_take_transforms(generator: Generator, refuses: Any) -> None:
    assert generator.inputs.transforms({}, batch=2) == {}
    with refuses("rotate: this generator cannot move its pictures"):
        generator.inputs.transforms({"rotate": 5}, batch=2)


def test_the_noise_is_that_of_the_bundle(generator: Generator) -> None:
    noise = generator.inputs.noise.const()
    assert noise.keys() == generator.bundle.read_noise().keys()
    for name, field in generator.bundle.read_noise().items():
        np.testing.assert_array_equal(noise[name], field)
