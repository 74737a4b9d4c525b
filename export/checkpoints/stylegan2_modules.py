"""The configuration of a StyleGAN2, from the modules of a pickled one.

Tensor shapes and the attributes of the layers are the truth: the two repositories have different
defaults, and what was left at its default is not recorded in the arguments (`_init_kwargs`). The
arguments must agree with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stylert.export.checkpoints.checkpoint import ACTIVATIONS, ARCHITECTURES, StyleGAN2Config
from stylert.export.checkpoints.modules import Modules
from stylert.export.checkpoints.pickle_machine import quoted
from stylert.runtime.errors import CheckpointError

__all__ = ["config_from_modules", "unknown_arguments"]

_POSITIONAL = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
_MAX_BLOCKS = 14
_MAX_MAPPING_LAYERS = 256

# Arguments that change nothing which the tensors and attributes do not tell.
_SETTLED = frozenset(
    (
        "channel_base",  # compared in _check_channels
        "channel_max",
        "fp16_channels_last",
        "fused_modconv",
        "fused_modconv_default",
        "mapping_kwargs",
        "mapping_kwargs.w_avg_beta",
        "resample_filter",
        "synthesis_kwargs",
    )
)


def config_from_modules(modules: Modules) -> StyleGAN2Config:
    """The configuration of a StyleGAN2 generator.

    Raises:
        CheckpointError: a module is missing, an attribute has a value that is not supported, or the
            arguments contradict the tensors.
    """
    blocks = _blocks(modules)
    layers = _layers(modules, blocks)
    last = blocks[-1]
    mapping_layers = _mapping_layers(modules)
    const = modules.shape("synthesis.b4.const", 3)
    w_dim = modules.shape(f"mapping.fc{mapping_layers - 1}.bias", 1)[0]
    c_dim, embed_features = 0, 0
    if "mapping.embed" in modules.objects:
        embed_features, c_dim = modules.shape("mapping.embed.weight", 2)
    fc = [f"mapping.fc{i}" for i in range(mapping_layers)]
    config = StyleGAN2Config(
        z_dim=modules.shape("mapping.fc0.weight", 2)[1] - embed_features,
        c_dim=c_dim,
        w_dim=w_dim,
        img_channels=modules.shape(f"{last}.torgb.bias", 1)[0],
        const_shape=(const[1], const[2]),
        channels=tuple(modules.shape(f"{block}.conv1.bias", 1)[0] for block in blocks),
        mapping_layers=mapping_layers,
        embed_features=embed_features,
        mapping_features=modules.shape("mapping.fc0.bias", 1)[0],
        mapping_activation=_choice(modules, fc, "activation", ACTIVATIONS),
        mapping_lr_multiplier=_number(_common(modules, fc, "bias_gain"), "bias_gain"),
        architecture=_choice(modules, blocks, "architecture", ARCHITECTURES),
        activation=_choice(modules, layers, "activation", ACTIVATIONS),
        conv_clamp=_clamp(modules, [*layers, *_to_rgbs(modules, blocks)]),
        use_noise=_common(modules, layers, "use_noise") is True,
        num_fp16_res=_num_fp16_res(modules, blocks),
    )
    _check_gains(modules, config)
    _check_linear_layers(modules)
    _check_resampling(modules, blocks)
    _check_arguments(modules, config)
    return config


def unknown_arguments(modules: Modules) -> list[str]:
    """Arguments that the generator was made with, and that we do not know."""
    known = {*_SETTLED, *_POSITIONAL, *_ARGUMENTS}
    return [key for key in _arguments(modules) if key not in known]


# The structure.


def _blocks(modules: Modules) -> list[str]:
    """Paths of the blocks b4, b8, ..., which must have no gap."""
    names = modules.children("synthesis")
    expected = [f"b{4 << i}" for i in range(min(len(names), _MAX_BLOCKS))]
    if not names or sorted(names) != sorted(expected):
        raise CheckpointError(
            f"not supported: synthesis has the modules {_listed(names)}, expected b4, b8, b16, ..."
        )
    return [f"synthesis.{name}" for name in expected]


def _layers(modules: Modules, blocks: list[str]) -> list[str]:
    return [
        f"{block}.{conv}"
        for i, block in enumerate(blocks)
        for conv in (("conv1",) if i == 0 else ("conv0", "conv1"))
    ]


def _to_rgbs(modules: Modules, blocks: list[str]) -> list[str]:
    return [f"{block}.torgb" for block in blocks if f"{block}.torgb" in modules.objects]


def _mapping_layers(modules: Modules) -> int:
    names = [name for name in modules.children("mapping") if name != "embed"]
    if sorted(names) != sorted(f"fc{i}" for i in range(len(names))):
        raise CheckpointError(
            f"not supported: mapping has the modules {_listed(names)}, expected fc0, fc1, ..."
        )
    if not 1 <= len(names) <= _MAX_MAPPING_LAYERS:
        raise CheckpointError(f"mapping has {len(names)} layers, expected 1 to 256")
    return len(names)


def _listed(names: list[str]) -> str:
    shown = ", ".join(quoted(name) for name in names[:8])
    return f"{shown}, ..." if len(names) > 8 else shown or "none"


# Attributes.


def _common(modules: Modules, paths: list[str], name: str) -> Any:
    """An attribute that must have the same plain value in all these modules."""
    first = modules.attribute(paths[0], name)
    for path in paths:
        value = modules.attribute(path, name)
        if type(value) not in (bool, int, float, str, type(None)):
            raise CheckpointError(f"not supported: {path}.{name} is {quoted(value)}")
        if value != first:
            raise CheckpointError(
                f"not supported: {name} is {quoted(first)} in {paths[0]}, "
                f"and {quoted(value)} in {path}"
            )
    return first


def _choice(modules: Modules, paths: list[str], name: str, choices: tuple[str, ...]) -> str:
    value = _common(modules, paths, name)
    if value not in choices:
        raise CheckpointError(
            f"not supported: {name} {quoted(value)} in {paths[0]}, expected {', '.join(choices)}"
        )
    return str(value)


def _number(value: Any, name: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value <= 0:
        raise CheckpointError(f"{name} is {quoted(value)}, expected a number above 0")
    return float(value)


def _clamp(modules: Modules, paths: list[str]) -> float | None:
    value = _common(modules, paths, "conv_clamp")
    return None if value is None else _number(value, "conv_clamp")


def _num_fp16_res(modules: Modules, blocks: list[str]) -> int:
    flags = [modules.attribute(block, "use_fp16") is True for block in blocks]
    count = sum(flags)
    if flags != sorted(flags):
        raise CheckpointError(
            "not supported: use_fp16 is set in some lower, but not in all higher blocks"
        )
    return count


def _check_gains(modules: Modules, config: StyleGAN2Config) -> None:
    """The run-time weight scales are those of the equalised learning rate."""
    for path, module in modules.objects.items():
        gain = module.state.get("weight_gain")
        if gain is None:
            continue
        lr = config.mapping_lr_multiplier if path.startswith("mapping.fc") else 1.0
        tensor = modules.tensors.get(f"{path}.weight")
        if tensor is None:
            raise CheckpointError(f"{path}.weight is missing")
        expected = lr / math.sqrt(max(math.prod(tensor.shape[1:]), 1))
        if not math.isclose(_number(gain, f"{path}.weight_gain"), expected, rel_tol=1e-3):
            raise CheckpointError(
                f"not supported: {path}.weight_gain is {quoted(gain)}, expected {expected:.6g}"
            )


def _check_linear_layers(modules: Modules) -> None:
    """Layers without an activation, whose biases are not scaled."""
    for path in modules.objects:
        name = path.rpartition(".")[2]
        if name not in ("affine", "embed", "skip"):
            continue
        activation = modules.attribute(path, "activation")
        if activation != "linear":
            raise CheckpointError(
                f"not supported: {path}.activation is {quoted(activation)}, expected linear"
            )
        if name != "skip" and modules.attribute(path, "bias_gain") != 1:
            raise CheckpointError(f"not supported: {path}.bias_gain, expected 1")


def _check_resampling(modules: Modules, blocks: list[str]) -> None:
    """conv0 and skip double the image, nothing else does."""
    for path, module in modules.objects.items():
        block, _, name = path.rpartition(".")
        if block not in blocks or name not in ("conv0", "conv1", "skip"):
            continue
        expected = 1 if name == "conv1" else 2
        if module.state.get("up") != expected or module.state.get("down", 1) != 1:
            raise CheckpointError(
                f"not supported: {path} scales by {quoted(module.state.get('up'))}, "
                f"expected {expected}"
            )


# The arguments: they are compared with what was found.

_ARGUMENTS = (
    "mapping_kwargs.num_layers",
    "mapping_kwargs.embed_features",
    "mapping_kwargs.layer_features",
    "mapping_kwargs.activation",
    "mapping_kwargs.lr_multiplier",
    "architecture",
    "activation",
    "conv_clamp",
    "use_noise",
    "num_fp16_res",
)


def _arguments(modules: Modules) -> dict[str, Any]:
    """What the generator was made with, as one flat dict."""
    network = modules.objects[""]
    positional = network.state.get("_init_args", ())
    named = network.state.get("_init_kwargs", {})
    if type(positional) is not tuple or type(named) is not dict:
        raise CheckpointError("_init_args or _init_kwargs of the generator are none")
    flat = dict(zip(_POSITIONAL, positional, strict=False))
    flat.update(named)
    for key, prefix in (("mapping_kwargs", "mapping_kwargs."), ("synthesis_kwargs", "")):
        nested = named.get(key)
        if type(nested) is dict:
            flat.update({f"{prefix}{quoted(k)[1:-1]}": v for k, v in nested.items()})
    return flat


def _check_arguments(modules: Modules, config: StyleGAN2Config) -> None:
    found = _found(config)
    attributes = modules.objects[""].state
    sources = (("_init_kwargs", _arguments(modules)), ("the generator's attributes", attributes))
    for source, given in sources:
        for key in found.keys() & given.keys():
            value = given[key]
            if value is None and key.startswith("mapping_kwargs."):
                continue  # None = the width of w
            if not _agrees(key, value, found[key], len(config.channels)):
                raise CheckpointError(
                    f"{key} is {quoted(value)} in {source}, but the tensors and layers make "
                    f"{quoted(found[key])}"
                )
        if "img_resolution" in given:
            _check_resolution(given["img_resolution"], source, config)
        if given.keys() & {"channel_base", "channel_max"}:
            _check_channels(given, source, config)


def _agrees(key: str, given: Any, found: Any, num_blocks: int) -> bool:
    if type(given) not in (bool, int, float, str, type(None)):
        return False
    if key == "num_fp16_res" and type(given) is int:
        given = min(given, num_blocks - 1)  # the 4x4 block is never half
    return bool(given == found)


def _found(config: StyleGAN2Config) -> dict[str, Any]:
    found: dict[str, Any] = {
        "z_dim": config.z_dim,
        "c_dim": config.c_dim,
        "w_dim": config.w_dim,
        "img_channels": config.img_channels,
        "mapping_kwargs.num_layers": config.mapping_layers,
        "mapping_kwargs.activation": config.mapping_activation,
        "mapping_kwargs.lr_multiplier": config.mapping_lr_multiplier,
        "architecture": config.architecture,
        "activation": config.activation,
        "conv_clamp": config.conv_clamp,
        "use_noise": config.use_noise,
        "num_fp16_res": config.num_fp16_res,
    }
    if config.c_dim:
        found["mapping_kwargs.embed_features"] = config.embed_features
    if config.mapping_layers > 1:
        found["mapping_kwargs.layer_features"] = config.mapping_features
    return found


def _check_resolution(value: Any, source: str, config: StyleGAN2Config) -> None:
    """Forks with a rectangular constant give one side, or the number in the last block's name."""
    sides = list(value) if type(value) in (list, tuple) and len(value) <= 2 else [value]
    last = config.block_resolutions[-1]
    if all(type(side) is int and side in (*config.img_shape, last) for side in sides):
        return
    shown = "x".join(quoted(side) for side in sides)
    const, image = ("x".join(map(str, shape)) for shape in (config.const_shape, config.img_shape))
    raise CheckpointError(
        f"img_resolution is {shown} in {source}, but the blocks b4..b{last} and the constant "
        f"{const} make {image}"
    )


def _check_channels(given: Mapping[str, Any], source: str, config: StyleGAN2Config) -> None:
    """A block of resolution R has min(channel_base // R, channel_max) channels.

    Where one of the two is not given, it has the default of both repositories.
    """
    base, most = given.get("channel_base", 32768), given.get("channel_max", 512)
    expected = [
        min(base // resolution, most) if type(base) is type(most) is int else None
        for resolution in config.block_resolutions
    ]
    if expected != list(config.channels):
        raise CheckpointError(
            f"channel_base {quoted(base)} and channel_max {quoted(most)} in {source} make blocks "
            f"of {expected} channels, but the tensors have {list(config.channels)}"
        )
