"""Generators with random weights: the standard architectures, the same every time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import Checkpoint, StyleGAN2Config, StyleGAN3Config, read_checkpoint
from stylert.export.checkpoints.configs.stylegan3_design import StyleGAN3Design
from stylert.export.checkpoints.untrained import UNTRAINED, make_untrained
from stylert.export.models.stylegan2 import StyleGAN2
from stylert.export.models.stylegan3 import StyleGAN3
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
    shapes = config.list_shapes().items()
    return sum(math.prod(s) for name, s in shapes if not name.endswith(("w_avg", "noise_const")))


def test_presets_are_all_tested() -> None:
    assert {name for name in UNTRAINED if name.startswith("stylegan2")} == set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_official_sizes(name: str) -> None:
    resolution, count, cost = PRESETS[name]
    config = UNTRAINED[name]()
    assert config.img_shape == (resolution, resolution)
    assert parameters(config) == count
    assert config.count_multiply_adds()["synthesis"] == pytest.approx(cost, rel=5e-4)
    half = (None, 0) if name == "stylegan2-config-f" else (256, 4)
    assert (config.conv_clamp, config.num_fp16_res) == half
    assert config.mapping_layers == 8


# Of the official StyleGAN3 networks: trainable parameters and multiply-adds of the convolutions.
STYLEGAN3 = {
    "stylegan3-t-256": (256, 23_320_443, 105.4e9),
    "stylegan3-t-512": (512, 24_873_519, 272.5e9),
    "stylegan3-t-1024": (1024, 22_313_167, 285.6e9),
    "stylegan3-r-256": (256, 15_779_565, 45.9e9),
    "stylegan3-r-512": (512, 16_665_594, 119.1e9),
    "stylegan3-r-1024": (1024, 15_093_151, 125.2e9),
}
FROZEN = ("w_avg", "magnitude_ema", "_filter", ".freqs", ".phases", ".transform")


def test_stylegan3_presets_are_all_tested() -> None:
    assert {name for name in UNTRAINED if name.startswith("stylegan3")} == set(STYLEGAN3)


@pytest.mark.parametrize("name", STYLEGAN3)
def test_stylegan3_presets_have_the_official_sizes(name: str) -> None:
    resolution, count, cost = STYLEGAN3[name]
    config = UNTRAINED[name]()
    assert isinstance(config, StyleGAN3Config)
    assert config.img_shape == (resolution, resolution)
    shapes = config.list_shapes().items()
    assert sum(math.prod(s) for name, s in shapes if not name.endswith(FROZEN)) == count
    assert config.count_multiply_adds()["synthesis"] == pytest.approx(cost, rel=1e-3)
    assert (config.conv_clamp, config.mapping_layers, config.num_ws) == (256, 2, 16)
    radial = any(layer.down_radial for layer in config.layers)
    assert radial is name.startswith("stylegan3-r")


@pytest.mark.parametrize("kernel", [1, 3])
def test_stylegan3_activations_are_on_the_scale_of_trained_ones(kernel: int) -> None:
    """Each layer's input has about the mean square that its weights are made for."""
    design = StyleGAN3Design(
        img_resolution=64,
        channel_base=2048,
        channel_max=64,
        conv_kernel=kernel,
        use_radial_filters=kernel == 1,
    )
    config = design.make_config(z_dim=32, c_dim=0, w_dim=32, mapping_layers=2, conv_clamp=256.0)
    model = StyleGAN3.from_checkpoint(make_untrained("small", config=config))
    found: list[tuple[float, float]] = []
    for layer in list(model.synthesis.children())[1:]:
        layer.register_forward_pre_hook(
            lambda layer, inputs: found.append(
                (float(inputs[0].square().mean()), float(layer.magnitude_ema))
            )
        )
    images = model(torch.from_numpy(np.random.RandomState(1).randn(2, 32)))
    assert len(found) == 15
    for measured, made_for in found:
        assert made_for / 3 < measured < 3 * made_for
    assert 0.15 < float(images.std()) < 1.5


def test_a_preset_is_read_by_its_name() -> None:
    checkpoint = read_checkpoint("untrained:stylegan2-256")
    assert checkpoint.num_parameters == PRESETS["stylegan2-256"][1]
    assert checkpoint.source.file == "untrained:stylegan2-256"
    assert checkpoint.source.format == "random weights"
    assert checkpoint.notes == ("The weights are random.",)
    assert len(StyleGAN2.from_checkpoint(checkpoint).state_dict()) == len(checkpoint.tensors)


@pytest.mark.parametrize("name", ["", "stylegan2-128", "STYLEGAN2-256", "stylegan3-t-128"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"unknown, expected one of .*256") as caught:
        read_checkpoint(f"untrained:{name}")
    assert f"Cannot read 'untrained:{name}'" in str(caught.value)
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
    shapes = checkpoint.config.list_shapes()
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
    checkpoint = make_untrained("small", config=StyleGAN2Config(**SMALL))
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
