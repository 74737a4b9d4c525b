"""The configuration of each family: its architecture, and the names of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stylert.export.checkpoints.configs.config import Config
from stylert.export.checkpoints.configs.lucidrains import LucidrainsConfig
from stylert.export.checkpoints.configs.stylegan1 import StyleGAN1Config
from stylert.export.checkpoints.configs.stylegan2 import StyleGAN2Config
from stylert.export.checkpoints.configs.stylegan3 import StyleGAN3Config
from stylert.export.checkpoints.safe_pickle.quoting import quote
from stylert.runtime.errors import CheckpointError

__all__ = ["CONFIGS", "read_config"]

CONFIGS: dict[str, type[Config]] = {
    config.family: config
    for config in (StyleGAN1Config, StyleGAN2Config, StyleGAN3Config, LucidrainsConfig)
}


def read_config(family: Any, data: Mapping[str, Any]) -> Config:
    """The configuration that a family's `to_json` gave.

    Raises:
        CheckpointError: an unknown family, or its configuration is incomplete or out of range.
    """
    if type(family) is not str or family not in CONFIGS:
        raise CheckpointError(
            f"not supported: the family {quote(family)}, expected {', '.join(CONFIGS)}"
        )
    return CONFIGS[family].from_json(data)
