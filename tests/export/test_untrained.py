"""Generators with random weights: the standard architectures, the same every time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import Checkpoint, read_checkpoint
from stylert.export.checkpoints.checkpoint import StyleGAN2Config, expected_shapes, multiply_adds
from stylert.export.checkpoints.untrained import UNTRAINED, untrained
from stylert.export.models.stylegan2 import StyleGAN2
from stylert.runtime.errors import CheckpointError

# Of the official networks: resolution, trainable parameters, and the multiply-adds of the synthesis
# without its affine layers, which ours has and which are less than 3 in 10,000.
PRESETS = {
    "stylegan2-256": (256, 24_767_458, 14.90e9),
    "stylegan2-512": (512, 30_276_583, 59.66e9),
    "stylegan2-1024": (1024, 30_370_060, 74.26e9),
    "stylegan2-config-f": (1024, 30_370_060, 74.26e9),
}


def parameters(config: StyleGAN2Config) -> int:
    shapes = expected_shapes(config).items()
    return sum(math.prod(s) for name, s in shapes if not name.endswith(("w_avg", "noise_const")))


def test_presets_are_all_tested() -> None:
    assert set(UNTRAINED) == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_official_sizes(name: str) -> None:
    resolution, count, cost = PRESETS[name]
    config = UNTRAINED[name]()
    assert config.img_shape == (resolution, resolution)
    assert parameters(config) == count
    assert multiply_adds(config)["synthesis"] == pytest.approx(cost, rel=5e-4)
    half = (None, 0) if name == "stylegan2-config-f" else (256, 4)
    assert (config.conv_clamp, config.num_fp16_res) == half
    assert config.mapping_layers == 8


def test_a_preset_is_read_by_its_name() -> None:
    checkpoint = read_checkpoint("untrained:stylegan2-256")
    assert checkpoint.num_parameters == PRESETS["stylegan2-256"][1]
    assert checkpoint.source.file == "untrained:stylegan2-256"
    assert checkpoint.source.format == "random weights"
    assert checkpoint.notes == ("The weights are random.",)
    assert len(StyleGAN2.from_checkpoint(checkpoint).state_dict()) == len(checkpoint.tensors)


@pytest.mark.parametrize("name", ["", "stylegan2-128", "STYLEGAN2-256", "stylegan3-t-256"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"unknown, expected one of .*256") as caught:
        read_checkpoint(f"untrained:{name}")
    assert "\n" not in str(caught.value)


def test_random_weights_have_one_network() -> None:
    with pytest.raises(CheckpointError, match=r"no network 'G': random weights have one network"):
        read_checkpoint("untrained:stylegan2-256", network="G")


def test_the_noise_is_found_by_its_layer(make_checkpoint: Callable[..., Checkpoint]) -> None:
    checkpoint = make_checkpoint()
    assert list(checkpoint.noise)[:3] == ["b4.conv1", "b8.conv0", "b8.conv1"]
    for layer, field in checkpoint.noise.items():
        assert field is checkpoint.tensors[f"synthesis.{layer}.noise_const"]
    assert make_checkpoint(use_noise=False).noise == {}


def test_checkpoints_can_be_compared_and_kept_in_a_set(
    make_checkpoint: Callable[..., Checkpoint],
) -> None:
    first, second = make_checkpoint(), make_checkpoint()
    assert first != second
    assert len({first, second, first}) == 2


def test_weights_are_the_same_every_time(make_checkpoint: Callable[..., Checkpoint]) -> None:
    first, second = make_checkpoint(seed=1), make_checkpoint(seed=1)
    assert first.source == second.source
    assert list(first.tensors) == list(second.tensors)
    for name, tensor in first.tensors.items():
        assert np.array_equal(tensor, second.tensors[name])
    other = make_checkpoint(seed=2)
    assert other.source.sha256 != first.source.sha256
    assert not np.array_equal(other.tensors["mapping.w_avg"], first.tensors["mapping.w_avg"])


def test_weights_are_as_a_reader_gives_them(make_checkpoint: Callable[..., Checkpoint]) -> None:
    checkpoint = make_checkpoint(architecture="resnet", c_dim=2, embed_features=4)
    shapes = expected_shapes(checkpoint.config)
    for name, tensor in checkpoint.tensors.items():
        assert isinstance(tensor, np.ndarray), name
        assert tensor.dtype == np.float32, name
        assert tensor.flags.c_contiguous, name
        assert name.endswith("resample_filter") or tensor.shape == shapes[name]
    assert set(shapes) < set(checkpoint.tensors)
    assert checkpoint.source.bytes == sum(t.nbytes for t in checkpoint.tensors.values())


def test_nothing_is_trivial(make_checkpoint: Callable[..., Checkpoint]) -> None:
    tensors = make_checkpoint(architecture="resnet").tensors
    for name in ("mapping.w_avg", "synthesis.b8.conv0.noise_strength", "synthesis.b8.conv1.bias"):
        assert np.abs(tensors[name]).min() > 0, name


def test_pictures_have_contrast() -> None:
    checkpoint = untrained("small", config=StyleGAN2Config(**SMALL))
    images = StyleGAN2.from_checkpoint(checkpoint)(torch.randn(4, 16))
    assert 0.05 < images.std() < 5


SMALL = {
    "z_dim": 16,
    "c_dim": 0,
    "w_dim": 16,
    "img_channels": 3,
    "const_shape": (4, 4),
    "channels": (16, 16, 16, 16),
    "mapping_layers": 8,
    "mapping_features": 16,
}
