"""Configurations and tensors of TensorFlow networks of which no official file is at hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import StyleGAN1Config, StyleGAN2Config, read_checkpoint
from stylert.runtime.errors import CheckpointError

GOLDENS = Path(__file__).parents[3] / "goldens"
FAMILIES = ("stylegan1", "stylegan2")
FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]).astype(np.float32) / 64


@pytest.mark.parametrize("name", ["sg2-resnet-32", "sg2-orig-32", "sg2-cond-32"])
def test_other_architectures(name: str, pickles: Any) -> None:
    """An official PyTorch network, turned into TensorFlow's layout, comes back."""
    original = read_checkpoint(GOLDENS / f"{name}.pkl")
    half = {"num_fp16_res": original.config.num_fp16_res, "conv_clamp": original.config.conv_clamp}
    got = pickles.read(
        (None, None, pickles.generator(original.config, dict(original.tensors), **half))
    )
    assert got.config == original.config
    assert set(got.tensors) == set(original.tensors)
    for key, tensor in original.tensors.items():
        np.testing.assert_allclose(got.tensors[key], tensor, rtol=0, atol=3e-7, err_msg=key)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("changes", [{}, {"use_noise": False}, {"const_shape": (4, 2)}])
def test_both_families(pickles: Any, family: str, changes: dict[str, Any]) -> None:
    config = pickles.config(family, **changes)
    if family == "stylegan1" and config.const_shape != (4, 4):
        config = replace(config, fused_from=256)  # 'auto' looks at the shorter side
    tensors = pickles.random_tensors(config)
    got = pickles.read(pickles.generator(config, tensors))
    assert got.config == config
    for name, tensor in tensors.items():
        np.testing.assert_allclose(got.tensors[name], tensor, rtol=1e-6, atol=1e-6, err_msg=name)
    height, width = config.img_shape
    wide = f"the image is {height} pixels high and {width} wide"
    assert got.notes == (() if height == width else (wide,))


@pytest.mark.parametrize("family", FAMILIES)
def test_labels_that_are_concatenated(pickles: Any, family: str) -> None:
    """LabelConcat: z and label @ weight, normalised as one vector, then the layers."""
    config = pickles.config(family)
    random = np.random.RandomState(2)
    made = pickles.generator(config, label_size=5)
    pickles.changed(made, "mapping/LabelConcat/weight", random.randn(5, 8).astype(np.float32))
    pickles.changed(made, "mapping/Dense0/weight", random.randn(16, 7).astype(np.float32) * 100)
    checkpoint = pickles.read(made)
    assert (checkpoint.config.c_dim, checkpoint.config.embed_features) == (5, 8)
    assert checkpoint.config.joint_normalization

    variables = dict(made.components["mapping"].state["variables"])
    z, label = random.randn(3, 8), random.rand(3, 5)
    x = np.concatenate([z, label @ variables["LabelConcat/weight"]], axis=1)
    x = x / np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-8)
    for i in range(2):
        weight, bias = variables[f"Dense{i}/weight"] * 0.01, variables[f"Dense{i}/bias"] * 0.01
        gain = math.sqrt(2)
        if family == "stylegan1":  # the gain is part of the weights
            x = x @ (weight * gain / math.sqrt(len(weight))) + bias
            x = np.maximum(x, 0.2 * x)
        else:  # the gain is part of the activation
            x = x @ (weight / math.sqrt(len(weight))) + bias
            x = np.maximum(x, 0.2 * x) * gain
    ws = pickles.mapping_of(checkpoint)(
        torch.from_numpy(z), torch.from_numpy(label).float()
    ).numpy()
    np.testing.assert_allclose(ws[:, 0], x, rtol=0, atol=2e-6)


def test_filters(pickles: Any) -> None:
    config = pickles.config("stylegan2")
    for kernel, expected in (
        (..., FILTER),
        ([1, 3, 3, 1], FILTER),
        (np.float32([1, 3, 3, 1]), FILTER),
        ((1, 2, 1), np.outer([1, 2, 1], [1, 2, 1]) / 16),
        (None, np.full((2, 2), 0.25)),
        (np.diag([1.0, 3.0]), np.diag([0.25, 0.75])),
    ):
        got = pickles.read(pickles.generator(config, resample_kernel=kernel))
        for block in ("b4", "b8"):
            np.testing.assert_allclose(got.tensors[f"synthesis.{block}.resample_filter"], expected)
    for kernel in (["x"], [], [1, -1], [math.inf], [math.nan], [1e308] * 4, [1] * 65, "abc", 4):
        with pytest.raises(CheckpointError, match="not supported: resample_kernel"):
            pickles.read(pickles.generator(config, resample_kernel=kernel))


def test_arguments_that_the_configuration_has(pickles: Any) -> None:
    given = {"mapping_lrmul": 0.1, "mapping_nonlinearity": "relu", "nonlinearity": "swish"}
    given |= {"num_fp16_res": 9, "conv_clamp": 64}
    config = pickles.read(pickles.generator(pickles.config("stylegan2"), **given)).config
    assert isinstance(config, StyleGAN2Config)
    assert config.mapping_lr_multiplier == 0.1
    assert (config.mapping_activation, config.activation) == ("relu", "swish")
    assert (config.num_fp16_res, config.conv_clamp) == (1, 64)


@pytest.mark.parametrize(
    ("fused_scale", "fused_from"), [("auto", 128), (True, 1), (False, 2**16), (..., 128)]
)
def test_fused_scale(pickles: Any, fused_scale: Any, fused_from: int) -> None:
    config = pickles.read(
        pickles.generator(pickles.config("stylegan1"), fused_scale=fused_scale)
    ).config
    assert isinstance(config, StyleGAN1Config)
    assert config.fused_from == fused_from


def test_smaller_images_of_stylegan1_are_left_away(pickles: Any) -> None:
    made = pickles.changed(
        pickles.generator(pickles.config("stylegan1")), "synthesis/ToRGB_lod1/bias", np.ones(3)
    )
    assert pickles.read(made).tensors["synthesis.torgb.bias"].shape == (3,)


def test_float64_and_missing_arguments(pickles: Any) -> None:
    """Only the variables are needed; what was left at its default may not be recorded."""
    config = pickles.config("stylegan2")
    made = pickles.generator(config, **dict.fromkeys(pickles.arguments_of(config), ...))
    pairs = made.components["synthesis"].state["variables"]
    pairs[:] = [(name, array.astype(np.float64)) for name, array in pairs]
    got = pickles.read(made)
    assert got.config == config
    assert got.tensors["synthesis.b4.const"].dtype == np.float32
