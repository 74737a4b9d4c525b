"""Blends: parents to the last bit at the ends, the published shares between, and ordinary files."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stylert.export.blending import blend_checkpoints, list_levels
from stylert.export.blending_sheet import draw_levels
from stylert.export.bundle_writer import export_bundle
from stylert.export.checkpoints import Checkpoint, read_checkpoint, write_native
from stylert.runtime.generator import Generator
from stylert.runtime.images import to_uint8

Refuses = Callable[..., AbstractContextManager[None]]
NETWORKS = ("sg1-tf-32.pkl", "sg2-resnet-32.pkl", "sg3-t-64.pkl", "field/luci16attn.pt")


@pytest.fixture(scope="module")
def skip(goldens: Path) -> Checkpoint:
    return read_checkpoint(goldens / "sg2-skip-32.pkl")


def trained_on(checkpoint: Checkpoint) -> Checkpoint:
    """The same with other numbers, as if it had been trained on; filters are what they were."""
    random = np.random.RandomState(1)
    tensors = {
        name: tensor
        if name.endswith(("_filter", ".transform"))
        else np.asarray(tensor + 0.1 * random.standard_normal(tensor.shape), np.float32)
        for name, tensor in checkpoint.tensors.items()
    }
    return replace(checkpoint, tensors=tensors)


def find_parents(blend: Checkpoint, first: Checkpoint, second: Checkpoint) -> dict[str, str]:
    """Whose every tensor is, to the last bit; of those that differ."""
    found = {}
    for name, tensor in blend.tensors.items():
        one, other = first.tensors[name], second.tensors[name]
        if not np.array_equal(one, other):
            is_one, is_other = np.array_equal(tensor, one), np.array_equal(tensor, other)
            found[name] = "A" if is_one else "B" if is_other else "both"
    return found


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("width", [None, 1.5])
def test_the_ends_are_the_parents_to_the_last_bit(
    name: str, width: float | None, goldens: Path
) -> None:
    first = read_checkpoint(goldens / name)
    second = trained_on(first)
    for level, parent in ((0.0, "B"), (math.inf, "A")):
        blend = blend_checkpoints(first, second, level=level, width=width)
        assert set(find_parents(blend, first, second).values()) == {parent}
    inside = list_levels(first.config)[1:-1]
    assert len(inside) >= 3
    shares = []
    for level in inside:
        whose = find_parents(blend_checkpoints(first, second, level=level), first, second)
        assert set(whose.values()) <= {"A", "B"}
        shares.append(list(whose.values()).count("A"))
    assert shares == sorted(set(shares))
    assert shares[-1] == len(whose)  # all layers are of up to the last one's pixels


def test_a_hard_switch_is_behind_both_layers_of_the_level(skip: Checkpoint) -> None:
    blend = blend_checkpoints(skip, second := trained_on(skip), level=8)
    for name, parent in find_parents(blend, skip, second).items():
        coarse = name.startswith(("mapping.", "synthesis.b4.", "synthesis.b8."))
        assert parent == ("A" if coarse else "B"), name


def test_a_width_makes_the_published_shares(skip: Checkpoint) -> None:
    """y = 1 / (1 + exp(-x / width)), x = 0 at the first layer of the level."""
    second = trained_on(skip)
    blend = blend_checkpoints(skip, second, level=16, width=0.7)
    positions = {"b4.conv1": -3, "b8.conv0": -2, "b16.conv0": 0, "b16.torgb": 1, "b32.conv1": 3}
    for layer, x in positions.items():
        name = f"synthesis.{layer}.weight"
        share = 1 / (1 + math.exp(-x / 0.7))
        expected = share * second.tensors[name] + (1 - share) * skip.tensors[name]
        np.testing.assert_allclose(blend.tensors[name], expected, rtol=1e-6, atol=1e-7)
    noise = "synthesis.b16.conv0.noise_const"
    assert np.array_equal(blend.tensors[noise], skip.tensors[noise])  # as strong as ever
    sharp = blend_checkpoints(skip, second, level=16, width=1e-4)
    whose = find_parents(sharp, skip, second)
    assert whose["synthesis.b8.conv1.weight"] == "A"
    assert whose["synthesis.b16.conv0.weight"] == "both"
    assert whose["synthesis.b16.conv1.weight"] == "B"


@pytest.mark.parametrize(
    ("level", "mapping", "whose"),
    [(8, None, "A"), (8, "A", "A"), (8, "B", "B"), (0, None, "B"), (0, "A", "A")],
)
def test_the_mapping_network_is_one_parents(
    skip: Checkpoint, level: float, mapping: str | None, whose: str
) -> None:
    second = trained_on(skip)
    blend = blend_checkpoints(skip, second, level=level, mapping=mapping)
    parents = find_parents(blend, skip, second)
    assert {p for name, p in parents.items() if name.startswith("mapping.")} == {whose}


def test_a_blend_is_a_checkpoint_as_any_other(skip: Checkpoint, tmp_path: Path) -> None:
    second = trained_on(skip)
    blend = blend_checkpoints(skip, second, level=8, width=1)
    write_native(blend, tmp_path / "blend.safetensors")
    read = read_checkpoint(tmp_path / "blend.safetensors")
    assert read.config == skip.config
    assert [note for note in read.notes if "layers of up to 8 pixels of sg2-skip-32.pkl" in note]
    report = export_bundle(read, tmp_path / "bundle", half="none", verify_seeds=1)
    assert report is not None
    assert report.passed
    sheet = draw_levels(skip, second, [3, 4], truncation_psi=1, width=1)
    assert sheet.shape == (2 * 32, 6 * 32, 3)  # of levels 0, 4, 8, 16, 32 and infinity
    with Generator.open(tmp_path / "bundle", threads=1) as generator:
        drawn = to_uint8(generator.generate([3, 4], truncation_psi=1, output="img"))
    for row in (0, 1):
        shown = sheet[32 * row : 32 * row + 32, 64:96].astype(int)
        assert np.abs(shown - drawn[row]).max() <= 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"level": 64}, "level: got 64, expected one of 0, 4, 8, 16, 32, inf."),
        ({"level": math.nan}, "level: got nan"),
        ({"level": "16"}, "level: got '16', expected one of 0, 4"),
        ({"level": [16]}, "level: got [16]"),
        ({"level": True}, "level: got True"),
        ({"level": 8, "width": "x"}, "width: got 'x', expected a number of layers above 0."),
        ({"level": 8, "width": 0}, "width: got 0, expected a number of layers above 0."),
        ({"level": 8, "mapping": "C"}, "mapping: got 'C', expected A or B."),
    ],
)
def test_what_cannot_be_is_refused(
    skip: Checkpoint, refuses: Refuses, options: dict[str, float], words: str
) -> None:
    with refuses(words):
        blend_checkpoints(skip, skip, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("sg1-tf-32.pkl", ["sg1-tf-32.pkl is of StyleGAN 1", "sg2-skip-32.pkl of StyleGAN2"]),
        ("sg2-fp16-64.pkl", ["sg2-fp16-64.pkl has other layers than sg2-skip-32.pkl", "more"]),
        ("sg2-resnet-32.pkl", ["b8.skip is ", "instead of missing", "the same architecture"]),
    ],
)
def test_other_networks_are_refused(
    skip: Checkpoint, goldens: Path, refuses: Refuses, other: str, words: list[str]
) -> None:
    with refuses(*words):
        blend_checkpoints(skip, read_checkpoint(goldens / other), level=8)


def test_the_layers_that_differ_are_named(
    make_checkpoint: Callable[..., Checkpoint], refuses: Refuses
) -> None:
    first, second = (make_checkpoint(channels=(8, 8, last)) for last in (8, 6))
    with refuses("b16.conv0 is 6x8x3x3 instead of 8x8x3x3"):
        blend_checkpoints(first, second, level=8)
    clamped = replace(first, config=replace(first.config, conv_clamp=9.0))
    with refuses("has conv_clamp 9.0", "expected the same architecture"):
        blend_checkpoints(first, clamped, level=8)
