"""The mapping network and the fully connected layers of a pickled network: StyleGAN2 and 3."""

from __future__ import annotations

import math
from typing import Any

from stylert.export.checkpoints.configs.config import (
    MAX_MAPPING_LAYERS,
    Config,
    check_positive,
)
from stylert.export.checkpoints.nvlabs import attributes
from stylert.export.checkpoints.nvlabs.modules import Modules
from stylert.export.checkpoints.safe_pickle.quoting import quote, quote_some
from stylert.runtime.errors import CheckpointError

__all__ = ["check_fully_connected", "drop_idle_table", "list_mapping_arguments", "read_mapping"]


def drop_idle_table(modules: Modules) -> None:
    """Leave out the table of classes that unconditional networks of StyleGAN-XL never use."""
    embed = modules.objects.get("mapping.embed")
    if embed and embed.class_name == "Embedding" and "mapping.embed_proj" not in modules.objects:
        del modules.objects["mapping.embed"]
        modules.tensors.pop("mapping.embed.weight", None)


def read_mapping(modules: Modules) -> dict[str, Any]:
    """The fields of `Config` that the mapping network decides.

    Raises:
        CheckpointError: a layer is missing, or has an attribute that is not supported.
    """
    layers = [f"mapping.fc{i}" for i in range(_count_layers(modules))]
    label = _read_label(modules)
    return {
        **label,
        "z_dim": modules.find_shape("mapping.fc0.weight", 2)[1] - label["embed_features"],
        "w_dim": modules.find_shape(f"{layers[-1]}.bias", 1)[0],
        "mapping_layers": len(layers),
        "mapping_features": modules.find_shape("mapping.fc0.bias", 1)[0],
        "mapping_activation": attributes.read_common(modules, layers, "activation"),
        "mapping_lr_multiplier": check_positive(
            "bias_gain", attributes.read_common(modules, layers, "bias_gain")
        ),
    }


def list_mapping_arguments(config: Config) -> dict[str, Any]:
    """The arguments that would make such latents and such a mapping network."""
    made: dict[str, Any] = {
        "z_dim": config.z_dim,
        "c_dim": config.c_dim,
        "w_dim": config.w_dim,
        "img_channels": config.img_channels,
        "mapping_kwargs.num_layers": config.mapping_layers,
        "mapping_kwargs.activation": config.mapping_activation,
        "mapping_kwargs.lr_multiplier": config.mapping_lr_multiplier,
    }
    if config.c_dim and not config.class_features:
        made["mapping_kwargs.embed_features"] = config.embed_features
    if config.mapping_layers > 1:
        made["mapping_kwargs.layer_features"] = config.mapping_features
    return made


def check_fully_connected(modules: Modules, config: Config) -> None:
    """The run-time scales are those of the equalised learning rate; affine layers are linear.

    Raises:
        CheckpointError: they are not.
    """
    _check_gains(modules, config)
    plain = {"affine": "linear", "embed": "linear", "skip": "linear"}
    if config.class_features:
        _check_table(modules)
        plain["embed_proj"], _ = "lrelu", plain.pop("embed")
    for path in modules.objects:
        name = path.rpartition(".")[2]
        if name in plain:
            _check_layer(modules, path, plain[name], has_bias=name != "skip")


def _read_label(modules: Modules) -> dict[str, int]:
    """How the label enters: by a layer, or of StyleGAN-XL by a table and a layer behind it."""
    if "mapping.embed_proj" in modules.objects:
        c_dim, class_features = modules.find_shape("mapping.embed.weight", 2)
        (embed_features,) = modules.find_shape("mapping.embed_proj.bias", 1)
    elif "mapping.embed" in modules.objects:
        embed_features, c_dim = modules.find_shape("mapping.embed.weight", 2)
        class_features = 0
    else:
        c_dim = embed_features = class_features = 0
    return {
        "c_dim": c_dim,
        "embed_features": embed_features,
        "class_features": class_features,
    }


def _count_layers(modules: Modules) -> int:
    children = modules.list_children("mapping")
    names = [name for name in children if name not in ("embed", "embed_proj")]
    if sorted(names) != sorted(f"fc{i}" for i in range(len(names))):
        raise CheckpointError(
            f"not supported: mapping has the modules {quote_some(names)}, expected fc0, fc1, ..."
        )
    if not 1 <= len(names) <= MAX_MAPPING_LAYERS:
        raise CheckpointError(
            f"mapping has {len(names)} layers, expected 1 to {MAX_MAPPING_LAYERS}"
        )
    return len(names)


def _check_gains(modules: Modules, config: Config) -> None:
    for path, module in modules.objects.items():
        gain = module.state.get("weight_gain")
        if gain is None:
            continue
        lr = config.mapping_lr_multiplier if path.startswith("mapping.fc") else 1.0
        tensor = modules.tensors.get(f"{path}.weight")
        if tensor is None:
            raise CheckpointError(f"{path}.weight is missing")
        expected = lr / math.sqrt(max(math.prod(tensor.shape[1:]), 1))
        found = check_positive(f"{path}.weight_gain", gain)
        if not math.isclose(found, expected, rel_tol=1e-3):
            raise CheckpointError(
                f"not supported: {path}.weight_gain is {quote(gain)}, expected {expected:.6g}"
            )


def _check_layer(modules: Modules, path: str, activation: str, *, has_bias: bool) -> None:
    """Its activation, and that its bias is not scaled."""
    found = modules.find(path, "activation")
    if found != activation:
        raise CheckpointError(
            f"not supported: {path}.activation is {quote(found)}, expected {activation}"
        )
    if has_bias and modules.find(path, "bias_gain") != 1:
        raise CheckpointError(f"not supported: {path}.bias_gain, expected 1")


def _check_table(modules: Modules) -> None:
    """The rows are taken as they are: torch.nn.Embedding can also scale them when it looks."""
    if (norm := modules.find("mapping.embed", "max_norm")) is not None:
        raise CheckpointError(
            f"not supported: mapping.embed.max_norm is {quote(norm)}, expected None"
        )
