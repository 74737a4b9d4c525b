"""Genuine checkpoints: every number of them arrives."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stylert.export.checkpoints import Checkpoint, read_checkpoint, write_native
from stylert.runtime.errors import CheckpointError

GOLDENS = Path(__file__).parents[2] / "goldens"
NAMES = sorted(path.stem for path in GOLDENS.glob("sg2-*.pkl") if "-tf-" not in path.stem)


STYLEGAN3 = sorted(path.stem for path in GOLDENS.glob("sg3-*.pkl"))


@pytest.fixture(scope="module", params=NAMES + STYLEGAN3)
def golden(request: pytest.FixtureRequest) -> tuple[Checkpoint, dict[str, Any]]:
    description = json.loads((GOLDENS / f"{request.param}.json").read_text())
    return read_checkpoint(GOLDENS / f"{request.param}.pkl"), description


def test_goldens_are_there() -> None:
    assert (len(NAMES), len(STYLEGAN3)) == (9, 2)


@pytest.mark.parametrize("name", NAMES)
def test_config_is_what_the_network_was_made_with(name: str) -> None:
    """Of StyleGAN2; see test_stylegan3 for the others."""
    checkpoint = read_checkpoint(GOLDENS / f"{name}.pkl")
    description = json.loads((GOLDENS / f"{name}.json").read_text())
    config, made = checkpoint.config, description["init_kwargs"]
    synthesis = {**made, **made.get("synthesis_kwargs", {})}
    flat = "synthesis_kwargs" not in made  # the class defaults of the stylegan3 repository
    clamp, half = synthesis.get("conv_clamp", 256 if flat else None), 4 if flat else 0
    resolution = made["img_resolution"]
    blocks = [4 << i for i in range(resolution.bit_length() - 2)]
    base, most = synthesis["channel_base"], synthesis["channel_max"]

    assert checkpoint.family == "stylegan2"
    assert (config.z_dim, config.c_dim, config.w_dim) == (
        made["z_dim"],
        made["c_dim"],
        made["w_dim"],
    )
    assert config.img_shape == (resolution, resolution)
    assert config.img_channels == made["img_channels"]
    assert config.block_resolutions == tuple(blocks)
    assert config.channels == tuple(min(base // r, most) for r in blocks)
    assert config.num_ws == description["num_ws"]
    assert config.mapping_layers == made["mapping_kwargs"].get("num_layers", 8)
    assert config.mapping_lr_multiplier == pytest.approx(0.01)
    assert config.embed_features == (made["w_dim"] if made["c_dim"] else 0)
    assert config.architecture == synthesis.get("architecture", "skip")
    assert config.activation == config.mapping_activation == "lrelu"
    assert config.conv_clamp == clamp
    assert config.num_fp16_res == min(synthesis.get("num_fp16_res", half), len(blocks) - 1)
    assert config.use_noise is synthesis.get("use_noise", True)


def test_tensors_are_exact(golden: Any) -> None:
    checkpoint, description = golden
    listed = {
        name: tensor
        for name, tensor in description["tensors"].items()
        if not name.endswith(
            ("conv0.resample_filter", "conv1.resample_filter", "skip.resample_filter")
        )
    }
    assert set(checkpoint.tensors) == set(listed)
    for name, tensor in checkpoint.tensors.items():
        assert tensor.shape == tuple(listed[name]["shape"]), name
        assert tensor.dtype == np.float32
        assert tensor.flags.c_contiguous
        assert hashlib.sha256(tensor.tobytes()).hexdigest()[:16] == listed[name]["sha256_16"], name


def test_expected_shapes_are_those_of_the_goldens(golden: Any) -> None:
    checkpoint, _ = golden
    filters = set(checkpoint.config.filter_names)
    assert set(checkpoint.config.list_shapes()) | filters == set(checkpoint.tensors)


def test_source_names_the_file(golden: Any) -> None:
    checkpoint, description = golden
    data = (GOLDENS / description["file"]).read_bytes()
    source = checkpoint.source
    assert (source.file, source.bytes, source.network) == (description["file"], len(data), "G_ema")
    assert source.sha256 == hashlib.sha256(data).hexdigest()
    stylegan3 = description["producer"]["implementation"] == "NVlabs/stylegan3"
    assert ("stylegan3" in source.format) is stylegan3
    assert checkpoint.notes == ()


def test_native_round_trip(golden: Any, tmp_path: Path) -> None:
    checkpoint, _ = golden
    path = tmp_path / "native.safetensors"
    write_native(checkpoint, path)
    again = read_checkpoint(path)
    assert again.config == checkpoint.config
    assert set(again.tensors) == set(checkpoint.tensors)
    for name, tensor in again.tensors.items():
        assert tensor.shape == checkpoint.tensors[name].shape
        assert tensor.dtype == np.float32
        assert tensor.flags.c_contiguous
        assert tensor.tobytes() == checkpoint.tensors[name].tobytes(), name


def test_each_network_is_its_own() -> None:
    average = read_checkpoint(GOLDENS / "sg2-skip-32.pkl")
    raw = read_checkpoint(GOLDENS / "sg2-skip-32.pkl", network="G")
    assert raw.source.network == "G"
    assert raw.config == average.config
    name = "synthesis.b8.conv0.weight"
    assert not np.array_equal(raw.tensors[name], average.tensors[name])


@pytest.mark.parametrize("network", ["D", "augment_pipe", "G_EMA", ""])
def test_other_networks_are_refused_with_a_list(network: str) -> None:
    with pytest.raises(CheckpointError, match=r"G \('Generator'\).*D \('Discr.*G_ema"):
        read_checkpoint(GOLDENS / "sg2-skip-32.pkl", network=network)


def test_the_name_of_the_file_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "weights.onnx"
    path.write_bytes((GOLDENS / "sg2-orig-32.pkl").read_bytes())
    assert read_checkpoint(str(path)).config.architecture == "orig"
