"""The configuration of a StyleGAN2, and what follows from it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from stylert.export.checkpoints import StyleGAN2Config
from stylert.runtime.errors import CheckpointError

FFHQ = StyleGAN2Config(
    z_dim=512,
    c_dim=0,
    w_dim=512,
    img_channels=3,
    const_shape=(4, 4),
    channels=(512, 512, 512, 512, 512, 256, 128, 64, 32),
    mapping_layers=8,
)


def test_official_1024_network() -> None:
    """30.37 million parameters, as the original prints; 18 ws."""
    shapes = FFHQ.list_shapes()
    frozen = ("w_avg", "noise_const")
    parameters = sum(math.prod(s) for name, s in shapes.items() if not name.endswith(frozen))
    assert parameters == 30_370_060
    assert FFHQ.num_ws == 18
    assert FFHQ.img_shape == (1024, 1024)
    assert FFHQ.block_resolutions == (4, 8, 16, 32, 64, 128, 256, 512, 1024)


def test_json_round_trip(writer: Any) -> None:
    config = writer.config(const_shape=(4, 2), conv_clamp=256.0, c_dim=1, embed_features=2)
    assert StyleGAN2Config.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_json_with_a_field_missing() -> None:
    data = FFHQ.to_json()
    del data["z_dim"]
    with pytest.raises(CheckpointError, match=r"configuration is incomplete: .*z_dim"):
        StyleGAN2Config.from_json(data)


def test_multiply_adds_by_hand(writer: Any) -> None:
    """b4: conv1 and ToRGB at 16 pixels; b8: conv0 at its 16 input pixels, the rest at 64."""
    counts = writer.config(channels=(6, 5)).count_multiply_adds()
    convolutions = 16 * (6 * 6 * 9 + 6 * 3) + 16 * 6 * 5 * 9 + 64 * (5 * 5 * 9 + 5 * 3)
    affine = 8 * (6 + 6) + 8 * (6 + 5 + 5)
    assert counts == {"mapping": 2 * 8 * 8, "synthesis": convolutions + affine}
