"""The mapping network of a TensorFlow pickle: its part of the configuration, and its tensors.

A label is embedded in one of two ways. ADA's 'LabelEmbed' is a layer like ours. The older
'LabelConcat' is a bare matrix, whose product with the label is normalised together with z.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stylert.export.checkpoints.configs.config import Config
from stylert.export.checkpoints.tensorflow.arguments import read_number
from stylert.export.checkpoints.tensorflow.networks import TensorFlowGenerator
from stylert.export.checkpoints.tensorflow.variables import Conversion, scale_by, transpose
from stylert.runtime.errors import CheckpointError

__all__ = ["list_mapping_arguments", "convert_mapping", "read_mapping"]

_CONCAT = "mapping/LabelConcat/weight"
_EMBED = "mapping/LabelEmbed/weight"


def read_mapping(generator: TensorFlowGenerator) -> dict[str, Any]:
    """The fields of a `Config` that the mapping network tells.

    Raises:
        CheckpointError: a variable is missing, or an argument is of the wrong kind.
    """
    layers = 0
    while f"mapping/Dense{layers}/weight" in generator.variables:
        layers += 1
    wide_in, features = generator.find_shape("mapping/Dense0/weight", 2)
    c_dim, embed_features = 0, 0
    concat = _CONCAT in generator.variables
    if concat or _EMBED in generator.variables:
        c_dim, embed_features = generator.find_shape(_CONCAT if concat else _EMBED, 2)
    if embed_features >= wide_in:
        raise CheckpointError(
            f"mapping/Dense0/weight has {wide_in} inputs, {embed_features} of them for the label: "
            "none are left for z"
        )
    return {
        "z_dim": wide_in - embed_features,
        "c_dim": c_dim,
        "w_dim": generator.find_shape(f"mapping/Dense{layers - 1}/weight", 2)[1],
        "mapping_layers": layers,
        "embed_features": embed_features,
        "mapping_features": features,
        "mapping_activation": generator.arguments.get("mapping_nonlinearity", "lrelu"),
        "mapping_lr_multiplier": read_number(generator, "mapping_lrmul", 0.01),
        "joint_normalization": concat,
    }


def list_mapping_arguments(config: Config) -> dict[str, Any]:
    """What the arguments of the mapping network must say."""
    found: dict[str, Any] = {
        "mapping_layers": config.mapping_layers,
        "latent_size": config.z_dim,
        "label_size": config.c_dim,
        "dlatent_size": config.w_dim,
        "dlatent_broadcast": config.num_ws,
    }
    if config.mapping_layers > 1:
        found["mapping_fmaps"] = config.mapping_features
    if config.c_dim and not config.joint_normalization:
        found["label_fmaps"] = config.embed_features
    return found


def convert_mapping(config: Config, *, bias_factor: float = 1.0) -> dict[str, Conversion]:
    """The tensors of the mapping network, and what they come from.

    Args:
        config: The configuration of the generator.
        bias_factor: What the biases of the layers are multiplied by.
    """
    conversions = {"mapping.w_avg": Conversion("dlatent_avg")}
    if config.joint_normalization:
        # Our embedding has the run-time scale 1 / sqrt(c_dim), which this takes back.
        gain = scale_by(math.sqrt(config.c_dim))
        conversions["mapping.embed.weight"] = Conversion(_CONCAT, lambda a: gain(transpose(a)))
        conversions["mapping.embed.bias"] = Conversion(_CONCAT, lambda a: np.zeros(a.shape[1:]))
    elif config.c_dim:
        conversions["mapping.embed.weight"] = Conversion(_EMBED, transpose)
        conversions["mapping.embed.bias"] = Conversion("mapping/LabelEmbed/bias")
    for i in range(config.mapping_layers):
        layer = f"mapping/Dense{i}"
        conversions[f"mapping.fc{i}.weight"] = Conversion(f"{layer}/weight", transpose)
        conversions[f"mapping.fc{i}.bias"] = Conversion(f"{layer}/bias", scale_by(bias_factor))
    return conversions
