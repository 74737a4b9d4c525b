"""Weights as integers times factors: what is rounded, by how much, and what is left alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stylert.export.checkpoints import Checkpoint, read_checkpoint
from stylert.export.weight_rounding import (
    INT8,
    INT16,
    LARGE,
    Integers,
    find_integers,
    round_weights,
    to_integers,
)


@pytest.fixture(scope="module")
def checkpoint(goldens: Path) -> Checkpoint:
    return read_checkpoint(goldens / "sg2-skip-32.pkl")


def random_weight(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def with_tensor(checkpoint: Checkpoint, name: str, tensor: np.ndarray) -> Checkpoint:
    return replace(checkpoint, tensors={**checkpoint.tensors, name: tensor})


@pytest.mark.parametrize("form", [INT8, INT16])
def test_every_output_uses_all_integers(form: Integers) -> None:
    weight = random_weight(8, 4, 3, 3)
    integers, factors = to_integers(weight, form)
    assert (integers.dtype, factors.dtype) == (form.dtype, np.float32)
    assert factors.shape == (8, 1, 1, 1)
    assert np.abs(integers.astype(int)).max(axis=(1, 2, 3)).tolist() == [form.levels] * 8
    error = np.abs(integers * factors.astype(np.float64) - weight)
    assert np.all(error <= factors * 0.501)


def test_large_weights_of_the_synthesis_are_rounded_and_nothing_else(
    checkpoint: Checkpoint,
) -> None:
    rounded = round_weights(checkpoint, "int16")
    assert rounded.notes == checkpoint.notes
    assert rounded.source == checkpoint.source
    for name, tensor in checkpoint.tensors.items():
        got = rounded.tensors[name]
        assert (got.dtype, got.shape) == (tensor.dtype, tensor.shape)
        if name.startswith("synthesis.") and name.endswith(".weight") and tensor.size >= LARGE:
            assert 0 < np.abs(got - tensor).max() < np.abs(tensor).max() / 65000
        else:
            assert got is tensor, name


def test_int8_is_for_convolutions(checkpoint: Checkpoint) -> None:
    eight, sixteen = (round_weights(checkpoint, weights) for weights in ("int8", "int16"))
    assert eight.notes == checkpoint.notes
    for name, tensor in checkpoint.tensors.items():
        if sixteen.tensors[name] is tensor or tensor.ndim != 4:
            np.testing.assert_array_equal(eight.tensors[name], sixteen.tensors[name], err_msg=name)
        else:
            of_output = np.abs(eight.tensors[name] - tensor).max() / np.abs(tensor).max()
            assert 1 / 520 < of_output < 1 / 250


@pytest.mark.parametrize("weights", ["int16", "int8"])
def test_rounding_again_changes_nothing(checkpoint: Checkpoint, weights: str) -> None:
    once = round_weights(checkpoint, weights)
    for name, tensor in round_weights(once, weights).tensors.items():
        np.testing.assert_allclose(tensor, once.tensors[name], rtol=3e-7, atol=0)


def test_float32_stays_as_it_is(
    checkpoint: Checkpoint, refuses: Callable[..., AbstractContextManager[None]]
) -> None:
    assert round_weights(checkpoint, "fp32") is checkpoint
    with refuses("weights: got 'fp8'", "fp32, int16 or int8"):
        round_weights(checkpoint, "fp8")


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e30])
def test_size_does_not_matter(checkpoint: Checkpoint, scale: float) -> None:
    """Half precision holds neither 1e6 nor 1e-6."""
    name = "synthesis.b8.conv0.weight"
    tensor = checkpoint.tensors[name] * np.float32(scale)
    got = round_weights(with_tensor(checkpoint, name, tensor), "int16").tensors[name]
    assert 0 < np.abs(got - tensor).max() < np.abs(tensor).max() / 65000


def test_outputs_of_zeros_stay_zero(checkpoint: Checkpoint) -> None:
    name = "synthesis.b8.conv0.weight"
    tensor = checkpoint.tensors[name].copy()
    tensor[3] = 0
    got = round_weights(with_tensor(checkpoint, name, tensor), "int16").tensors[name]
    assert np.isfinite(got).all()
    assert not got[3].any()


@pytest.mark.parametrize("outlier", [1e3, 1e5])
def test_a_weight_that_one_number_would_drown_stays_float32_and_is_named(
    checkpoint: Checkpoint, outlier: float
) -> None:
    name = "synthesis.b8.conv0.weight"
    tensor = random_weight(8, 512, 3, 3)
    tensor[3, 2, 1, 1] = outlier
    rounded = round_weights(with_tensor(checkpoint, name, tensor), "int16")
    assert rounded.tensors[name] is tensor
    (note,) = set(rounded.notes) - set(checkpoint.notes)
    assert name in note


def test_a_weight_that_int8_would_lose_takes_16_bits_and_is_named(checkpoint: Checkpoint) -> None:
    name = "synthesis.b8.conv0.weight"
    tensor = random_weight(8, 512, 3, 3)
    tensor[3, 2, 1, 1] = 300  # 15 % of the output would be lost, and 0.06 % are
    rounded = round_weights(with_tensor(checkpoint, name, tensor), "int8")
    np.testing.assert_array_equal(rounded.tensors[name], np.multiply(*to_integers(tensor, INT16)))
    (note,) = set(rounded.notes) - set(checkpoint.notes)
    assert note == f"stored as int16, since int8 would lose small weights: {name}"


def test_numbers_too_small_for_factors_stay(checkpoint: Checkpoint) -> None:
    name = "synthesis.b8.conv0.weight"
    tensor = checkpoint.tensors[name] * np.float32(1e-42)
    assert tensor.any()
    rounded = round_weights(with_tensor(checkpoint, name, tensor), "int16")
    assert rounded.tensors[name] is tensor


MADE = {
    "as it is": lambda w: w,
    "a gain": lambda w: w * (np.sqrt(2) / 48),
    "a norm of each output": lambda w: (
        w / np.sqrt(np.square(w).mean(axis=(1, 2, 3), keepdims=True))
    ),
    "turned": lambda w: w.transpose(1, 0, 2, 3),
    "flipped": lambda w: w[:, :, ::-1, ::-1],
    "padded": lambda w: np.pad(w, [(0, 2), (0, 3), (0, 0), (0, 0)]),
    "a matrix": lambda w: w.reshape(len(w), -1).T / 7,
}


@pytest.mark.parametrize("form", [INT8, INT16])
@pytest.mark.parametrize("made", MADE)
def test_what_a_graph_makes_of_rounded_weights_is_recognised(made: str, form: Integers) -> None:
    integers, factors = to_integers(random_weight(24, 16, 3, 3), form)
    array = MADE[made]((integers * factors).astype(np.float64)).astype(np.float32)
    found = find_integers(array, [INT8, INT16])
    assert found is not None
    assert found[0].dtype == form.dtype
    np.testing.assert_allclose(np.multiply(*found), array, rtol=1e-6, atol=0)
    values, counts = np.unique(integers[integers != 0], return_counts=True)
    again, again_counts = np.unique(found[0][found[0] != 0], return_counts=True)
    np.testing.assert_array_equal(again, values)
    np.testing.assert_array_equal(again_counts, counts)


@pytest.mark.parametrize("shape", [(24, 16, 3, 3), (64, 64), (4096,)])
def test_other_weights_are_not(shape: tuple[int, ...]) -> None:
    assert find_integers(random_weight(*shape), [INT8, INT16]) is None
