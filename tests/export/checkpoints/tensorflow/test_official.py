"""The official TensorFlow files: every number arrives, and draws the official pictures."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stylert.export.checkpoints import Checkpoint, read_checkpoint, write_native
from stylert.export.models.stylegan2 import StyleGAN2

GOLDENS = Path(__file__).parents[3] / "goldens"
STYLEGAN1 = ("sg1-tf-32", "sg1-tf-256")
STYLEGAN2 = ("sg2-tf-32", "sg2-tf-ada-cond-32")
TOLERANCE = 5e-5

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module", params=[*STYLEGAN1, *STYLEGAN2])
def golden(request: pytest.FixtureRequest) -> tuple[Checkpoint, dict[str, Any], Arrays]:
    description = json.loads((GOLDENS / f"{request.param}.json").read_text())
    with np.load(GOLDENS / f"{request.param}.npz") as arrays:
        return read_checkpoint(GOLDENS / f"{request.param}.pkl"), description, dict(arrays)


def test_config_is_what_the_network_was_made_with(golden: Any) -> None:
    checkpoint, description, _ = golden
    config, made = checkpoint.config, description["static_kwargs"]
    blocks = made["resolution"].bit_length() - 2
    assert checkpoint.family == description["family"]
    assert config.img_shape == (made["resolution"], made["resolution"])
    assert config.img_channels == made["num_channels"]
    assert config.num_ws == description["num_ws"]
    sizes = ("latent_size", "label_size", "dlatent_size", "mapping_layers", "mapping_fmaps")
    assert [made[key] for key in sizes] == [
        config.z_dim,
        config.c_dim,
        config.w_dim,
        config.mapping_layers,
        config.mapping_features,
    ]
    assert config.channels == tuple(
        min(made["fmap_base"] >> (i + 1), made["fmap_max"]) for i in range(blocks)
    )
    assert config.embed_features == (made["latent_size"] if made["label_size"] else 0)
    assert not config.joint_normalization
    assert config.conv_clamp == made.get("conv_clamp")
    if checkpoint.family == "stylegan2":
        assert config.num_fp16_res == min(made.get("num_fp16_res", 0), blocks - 1)
        assert config.architecture == "skip"
    else:
        assert config.fused_from == 128


def test_every_variable_arrives(golden: Any, pickles: Any) -> None:
    """Tensors turned back into variables are those that the official code saved."""
    checkpoint, description, _ = golden
    again = pickles.variables_of(checkpoint.config, checkpoint.tensors)
    rounded = ("/mod_bias",) + (("/bias",) if checkpoint.family == "stylegan1" else ())
    assert len(again) > 40
    for name, variable in again.items():
        if (listed := description["tensors"].get(name)) is None:
            assert name == "lod"
            continue
        assert list(variable.shape) == listed["shape"], name
        if name.endswith(rounded):
            assert np.abs(variable).mean() == pytest.approx(listed["mean_abs"], rel=1e-5), name
        else:
            digest = hashlib.sha256(np.ascontiguousarray(variable).tobytes()).hexdigest()
            assert digest[:16] == listed["sha256_16"], name
    unused = {name for name in description["tensors"] if name not in again}
    smaller = re.compile(r"synthesis/ToRGB_lod[1-9]/(weight|bias)")
    assert all(name == "synthesis/lod" or smaller.fullmatch(name) for name in unused)


def test_tensors_are_copies_of_float32(golden: Any) -> None:
    for tensor in golden[0].tensors.values():
        assert tensor.dtype == np.float32
        assert tensor.flags.c_contiguous
        assert tensor.flags.owndata  # the bytes of the file can go


def test_source(golden: Any) -> None:
    checkpoint, description, _ = golden
    data = (GOLDENS / description["file"]).read_bytes()
    assert checkpoint.source.network == description["use"] == "Gs"
    assert checkpoint.source.bytes == len(data)
    assert checkpoint.source.sha256 == hashlib.sha256(data).hexdigest()
    title = {"stylegan1": "StyleGAN 1", "stylegan2": "StyleGAN2"}[description["family"]]
    version = description["network_version"]
    assert checkpoint.source.format == f"TensorFlow {title} pickle, version {version}"
    assert checkpoint.notes == ()


def test_ws_are_the_official_ones(golden: Any, pickles: Any) -> None:
    checkpoint, description, arrays = golden
    cut = {"truncation_psi": 0.7, "truncation_cutoff": description["truncation_cutoff"]}
    mapping = pickles.mapping_of(checkpoint)
    c = torch.from_numpy(arrays["c"]) if "c" in arrays else None
    for name, options in (
        ("ws_psi1", {}),
        ("ws_psi07", {"truncation_psi": 0.7}),
        ("ws_psi07_cut", cut),
    ):
        got = mapping(torch.from_numpy(arrays["z"]), c, **options).numpy()
        assert np.abs(got - arrays[name]).max() < TOLERANCE, name


@pytest.mark.parametrize("name", STYLEGAN2)
def test_images_are_the_official_ones(name: str) -> None:
    model = StyleGAN2.from_checkpoint(read_checkpoint(GOLDENS / f"{name}.pkl"))
    with np.load(GOLDENS / f"{name}.npz") as file:
        arrays = dict(file)
    for image, ws, noise in (
        ("img_const", "ws_psi1", "const"),
        ("img_none", "ws_psi1", "none"),
        ("img_psi07", "ws_psi07_cut", "const"),
    ):
        expected = arrays[image]
        got = model.synthesis(torch.from_numpy(arrays[ws][: len(expected)]), noise=noise).numpy()
        assert np.abs(got - expected).max() < TOLERANCE, image


def test_native_round_trip(golden: Any, tmp_path: Path) -> None:
    checkpoint = golden[0]
    write_native(checkpoint, tmp_path / "net.safetensors")
    again = read_checkpoint(tmp_path / "net.safetensors")
    assert again.config == checkpoint.config
    for name, tensor in checkpoint.tensors.items():
        assert np.array_equal(again.tensors[name], tensor), name
