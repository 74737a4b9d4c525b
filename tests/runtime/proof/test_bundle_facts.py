"""What a manifest tells people, and one that tells nonsense."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from stylert.runtime.bundle import Bundle, sealed
from stylert.runtime.errors import BundleError
from stylert.runtime.proof.bundle_facts import (
    difference_at_export,
    multiply_adds,
    noise_strength,
    reading_manifest,
    reference_error,
    tell_half,
)
from stylert.runtime.proof.parity import RoundingError

Refuses = Callable[..., AbstractContextManager[None]]


def with_manifest(bundle: Path, **changes: Any) -> Bundle:
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    (bundle / "manifest.json").write_text(json.dumps(sealed(manifest | changes)))
    return Bundle.open(bundle)


def test_the_worst_of_the_float32_images(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    rows = opened.manifest["parity"]["rows"]
    found = difference_at_export(opened)
    assert found is not None
    assert 0 < found < 1e-4
    differences = [row["difference"]["max_abs"] for row in rows if row["output"] == "img"]
    assert found in differences
    assert found < max(differences)  # which is that of half precision


@pytest.mark.parametrize("parity", [None, {}])
def test_no_comparison_at_export(bundle_copy: Path, parity: Any) -> None:
    assert difference_at_export(with_manifest(bundle_copy, parity=parity)) is None


@pytest.mark.parametrize("parity", [7, {"rows": []}, {"rows": [{}]}, {"rows": 3}, "x"])
def test_a_comparison_that_is_nonsense(bundle_copy: Path, refuses: Refuses, parity: Any) -> None:
    opened = with_manifest(bundle_copy, parity=parity)
    with refuses("manifest.json is damaged (", "Export the checkpoint again.", error=BundleError):
        difference_at_export(opened)


def test_multiply_adds(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    of = opened.manifest["statistics"]["multiply_adds"]
    assert multiply_adds(opened) == of["mapping"] + of["synthesis"] > 1_000_000


@pytest.mark.parametrize("statistics", [None, {}, {"multiply_adds": {"mapping": "many"}}])
def test_multiply_adds_that_are_nonsense(
    bundle_copy: Path, refuses: Refuses, statistics: Any
) -> None:
    opened = with_manifest(bundle_copy, statistics=statistics)
    with refuses("manifest.json is damaged (", error=BundleError):
        multiply_adds(opened)


def test_the_strength_of_the_noise(bundle: Path, bundle_copy: Path) -> None:
    assert noise_strength(Bundle.open(bundle)) > 0
    statistics = Bundle.open(bundle).manifest["statistics"]
    for told in (0, None):
        opened = with_manifest(bundle_copy, statistics=statistics | {"noise_strength": told})
        assert noise_strength(opened) == told


@pytest.mark.parametrize(
    "statistics", [None, {"noise_strength": "much"}, {"noise_strength": math.inf}]
)
def test_a_strength_that_is_nonsense(bundle_copy: Path, refuses: Refuses, statistics: Any) -> None:
    opened = with_manifest(bundle_copy, statistics=statistics)
    with refuses("manifest.json is damaged (", error=BundleError):
        noise_strength(opened)


def test_the_rounding_of_the_reference(bundle: Path, bundle_copy: Path) -> None:
    parity = Bundle.open(bundle).manifest["parity"]
    assert reference_error(with_manifest(bundle_copy, parity=None)) is None
    drawn = {"img": {"rms": 1e-6, "max_abs": 2e-5, "pictures": 8}}
    found = reference_error(with_manifest(bundle_copy, parity=parity | {"reference_error": drawn}))
    assert found == RoundingError(1e-6, 2e-5, 8)


@pytest.mark.parametrize("error", [7, {"img": 3}, {"img": {"rms": "x"}}, None])
def test_a_rounding_that_is_nonsense(bundle_copy: Path, refuses: Refuses, error: Any) -> None:
    opened = with_manifest(bundle_copy, parity={"rows": [], "reference_error": error})
    with refuses("manifest.json is damaged (", error=BundleError):
        reference_error(opened)


def test_which_blocks_were_moved() -> None:
    assert tell_half({"half_blocks": ["b8"], "moved": None}) is None
    assert tell_half({}) is None
    note = tell_half({"half_blocks": ["b8"], "moved": {"b32": None, "b16": 58.25}})
    assert note == (
        "Half precision: pictures were too far off, so these compute in float32: "
        "b32 (alone not finite), b16 (alone 58.2 dB)."
    )
    note = tell_half({"half_blocks": [], "moved": {"b16": 58.25}})
    assert note is not None
    assert note.startswith("There is no half-precision graph: ")


def test_an_error_of_the_bundle_stays_as_it_is(refuses: Refuses) -> None:
    with refuses("its own words", error=BundleError), reading_manifest("b"):
        raise BundleError("its own words")
