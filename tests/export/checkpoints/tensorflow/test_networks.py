"""Which network of a TensorFlow pickle is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stylert.export.checkpoints import read_checkpoint
from stylert.runtime.errors import CheckpointError


def test_which_network(pickles: Any) -> None:
    config = pickles.config("stylegan2")
    weights = {name: pickles.random_tensors(config) for name in ("G", "Gs")}
    weights["G"]["mapping.w_avg"] += 1
    g, gs = (pickles.generator(config, weights[name], name) for name in ("G", "Gs"))
    d = pickles.network("D", {}, {}, build_func_name="D_stylegan2")
    training = "G is the network in training, not the average one (Gs)"

    def name_of(value: Any, asked: str | None = None) -> str:
        got = pickles.read(value, network=asked)
        assert got.notes == ((training,) if got.source.network == "G" else ())
        expected = weights["G" if got.source.network == "G" else "Gs"]["mapping.w_avg"]
        assert np.array_equal(got.tensors["mapping.w_avg"], expected)
        return got.source.network

    for value in ((g, d, gs), [None, None, gs], gs, (gs,), (d, gs), {"G": g, "Gs": gs, "D": None}):
        assert name_of(value) == "Gs"
    for value in (g, (g, d), {"G": g, "D": d}):
        assert name_of(value) == "G"
    assert name_of((g, d, gs), "G") == "G"
    assert name_of({"G_ema": gs, "step": 3}) == "G_ema"
    gs.state["name"] = "not a\nname"
    assert name_of(gs) == "network0"
    assert name_of((g, d, gs)) == "Gs"  # by its place

    there = r"G \(G_main\), D \(D_stylegan2\), Gs \(G_main\)"
    with pytest.raises(CheckpointError, match=rf"no network 'G_ema' in the file; it has {there}"):
        pickles.read((g, d, gs), network="G_ema")
    with pytest.raises(CheckpointError, match=rf"'D' is no StyleGAN generator: .* has {there}"):
        pickles.read((g, d, gs), network="D")
    with pytest.raises(CheckpointError, match="no network 'Gs' in the file"):
        pickles.read({"a": g, "b": g})


@pytest.mark.parametrize("function", ["D_stylegan", "vgg16_zhang_perceptual", "inception_v3"])
def test_networks_that_are_no_generators(pickles: Any, function: str) -> None:
    made = pickles.network("net", {"conv/weight": np.ones(3)}, {}, build_func_name=function)
    with pytest.raises(CheckpointError, match=rf"'net' is no StyleGAN generator.*\({function}\)"):
        pickles.read(made)


def test_progressive_gan_is_refused(pickles: Any) -> None:
    made = pickles.network(
        "Gs", {"4x4/Dense/weight": np.ones(3), "ToRGB_lod0/weight": np.ones(3)}, {}
    )
    old = pickles.data((made, made, made)).replace(b"dnnlib.tflib.network\n", b"tfutil\n")
    with pytest.raises(CheckpointError, match=r"not supported: .* Progressive GAN"):
        read_checkpoint(pickles.writer.file(old))
